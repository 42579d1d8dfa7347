"""Open a still, put a clip where a model can read it. Encoded bytes come from `shards.py`.

Clips are handed to models as files, because every backend decodes from a path. They are kept under
`$SHOTBENCH_CACHE` (default `~/.cache/shotbench`), named by content, so that each is written once and shared by runs.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmms_eval_shotbench.whole_file import write_whole

if TYPE_CHECKING:
    from PIL.Image import Image

CLIP_FPS = 12.0  # official protocol: frames a second a model sees of a clip
CLIP_MAX_PIXELS = 360 * 640  # official protocol: pixels of one frame of a clip
MAX_PICTURE_PIXELS = 100_000_000  # of a still or a frame, 300 MB decoded; beyond it lies no film, only an attack
FRAMES_AT_ONCE = 16  # decoded together; 16 frames of 4K are 400 MB


class BrokenMedium(ValueError):
    """A still or clip that cannot be shown to a model."""


def open_still(encoded: bytes) -> Image:
    """Decode a still to RGB, at its own size.

    Raises:
        BrokenMedium: no picture, cut off, or larger than 100 megapixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with whole_pictures_only(), Image.open(io.BytesIO(encoded)) as picture:
            width, height = picture.size
            if width * height > MAX_PICTURE_PIXELS:
                raise ValueError(f"{width}x{height} pixels, at most {MAX_PICTURE_PIXELS:,} are opened")
            return picture.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BrokenMedium(f"still cannot be decoded: {error}") from error


_lenience: list[bool] = []  # what the process had set, once for each thread that decodes
_changing = threading.Lock()


@contextmanager
def whole_pictures_only() -> Iterator[None]:
    """Undo for a moment what lmms-eval sets for the whole process: that cut-off files are filled up with grey."""
    from PIL import ImageFile

    with _changing:
        _lenience.append(_lenience[0] if _lenience else ImageFile.LOAD_TRUNCATED_IMAGES)
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        with _changing:
            before = _lenience.pop()
            if not _lenience:  # the last one restores it
                ImageFile.LOAD_TRUNCATED_IMAGES = before


def clip_path(encoded: bytes, sha256: str = "") -> Path:
    """Return a file with these bytes, named by their checksum."""
    name = sha256 or hashlib.sha256(encoded).hexdigest()
    path = cache_folder("clips") / f"{name}.mp4"
    if not path.exists():
        write_whole(path, encoded)
    return path


def protocol_clip_path(encoded: bytes, sha256: str = "", fps: float = CLIP_FPS) -> Path:
    """Return a copy of a clip at the protocol's frame rate and size, for models that cannot be told either.

    The frames are those qwen_vl_utils picks at this rate, scaled to fit and encoded anew at high quality.
    """
    source = clip_path(encoded, sha256)
    path = cache_folder("clips") / f"{source.stem}-{fps:g}fps.mp4"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            draft = Path(folder) / path.name
            _encode_at(source, draft, fps)
            os.replace(draft, path)
    return path


def sampled_frames(frames: int, frame_rate: float, fps: float = CLIP_FPS) -> list[int]:
    """Indices of the frames seen of a clip: evenly spread from the first to the last, an even number of them.

    The rule of qwen_vl_utils' `smart_nframes`: frames / rate * fps rounded down to a multiple of 2, at least 4 and at
    most all of them.
    """
    wanted = frames / frame_rate * fps
    even = int(min(max(wanted, 4), 768, frames) // 2 * 2) or frames
    step = (frames - 1) / max(even - 1, 1)
    return [round(place * step) for place in range(even)]


def _encode_at(source: Path, target: Path, fps: float) -> None:
    import av
    import decord

    reader = decord.VideoReader(str(source), num_threads=1)
    indices = sampled_frames(len(reader), reader.get_avg_fps(), fps)
    height, width = reader[0].shape[:2]
    scale = min(1.0, (CLIP_MAX_PIXELS / (height * width)) ** 0.5)
    with av.open(str(target), "w") as container:
        stream: Any = container.add_stream("libx264", rate=round(fps), options={"crf": "10"})
        stream.width, stream.height = (max(2, int(side * scale) // 2 * 2) for side in (width, height))
        stream.pix_fmt = "yuv420p"
        for start in range(0, len(indices), FRAMES_AT_ONCE):
            for picture in reader.get_batch(indices[start : start + FRAMES_AT_ONCE]).asnumpy():
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def cache_folder(name: str) -> Path:
    """A folder of derived files; safe to delete at any time."""
    root = os.environ.get("SHOTBENCH_CACHE") or "~/.cache/shotbench"
    folder = Path(root).expanduser() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
