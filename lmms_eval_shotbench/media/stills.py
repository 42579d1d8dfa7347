"""Open a still, put a clip where a model can read it. `questions/shards.py` has the bytes, `clips.py` decodes clips.

Models of lmms-eval decode clips themselves, from a path. Those files are kept under
`$SHOTBENCH_CACHE` (default `~/.cache/shotbench`), named by content, so that each is written once and shared by runs.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.environment import cache_folder
from lmms_eval_shotbench.vocabulary import View

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PICTURE_PIXELS = 100_000_000  # of a still or a frame, 300 MB decoded; beyond it lies no film, only an attack


class BrokenMedium(ValueError):
    """A still or clip that cannot be shown to a model."""


def open_still(encoded: bytes, view: View = View.AS_FILMED) -> Image:
    """Decode a still to RGB, at its own size; what is transparent becomes white, as in qwen_vl_utils.

    A still has no end to be shown from: of the views it knows the mirrored one only.

    Raises:
        BrokenMedium: no picture, cut off, or larger than 100 megapixels.
    """
    from PIL import ImageOps

    picture = _rgb_still(encoded)
    return ImageOps.mirror(picture) if view is View.MIRRORED else picture


def _rgb_still(encoded: bytes) -> Image:
    from PIL import Image

    with _opened_still(encoded) as picture:
        if picture.mode == "RGB":
            picture.load()
            return picture  # `convert` would copy it
        if picture.mode != "RGBA":
            return picture.convert("RGB")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def still_size(encoded: bytes) -> tuple[int, int]:
    """Width and height of a still, from its header; raises `BrokenMedium`."""
    with _opened_still(encoded) as picture:
        return picture.size


@contextmanager
def _opened_still(encoded: bytes) -> Iterator[Image]:
    from PIL import Image, UnidentifiedImageError

    try:
        with whole_pictures_only(), Image.open(io.BytesIO(encoded)) as picture:
            width, height = picture.size
            if width * height > MAX_PICTURE_PIXELS:
                raise ValueError(f"{width}x{height} pixels, at most {MAX_PICTURE_PIXELS:,} are opened")
            yield picture
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
        write_atomic(path, encoded)
    return path
