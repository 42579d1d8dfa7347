"""Decode stills, and write clips to files for models that read them from a path.

Encoded bytes come from `questions/shards.py`; `clips.py` decodes clips. Models of lmms-eval decode clips themselves,
from a path: these files are cached under `$SHOTBENCH_CACHE` (default `~/.cache/shotbench`) and named by content hash,
so that each is written once and shared by all runs.
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
from lmms_eval_shotbench.media.broken_medium import BrokenMedium as BrokenMedium  # many modules import it from here
from lmms_eval_shotbench.media.broken_medium import TooLarge, failures_as_broken
from lmms_eval_shotbench.vocabulary import View

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PICTURE_PIXELS = 100_000_000  # of a still or frame, 300 MB decoded; larger ones are decompression bombs


def open_still(encoded: bytes, view: View = View.AS_FILMED) -> Image:
    """Decode a still to an RGB image at its original size; RGBA is composited on white, as in qwen_vl_utils.

    Of the views only `View.MIRRORED` changes a still.

    Raises:
        BrokenMedium: not an image, truncated, or larger than 100 megapixels.
    """
    from PIL import ImageOps

    picture = _rgb_still(encoded)
    return ImageOps.mirror(picture) if view is View.MIRRORED else picture


def _rgb_still(encoded: bytes) -> Image:
    with opened_still(encoded) as picture:
        return as_rgb(picture)


def as_rgb(picture: Image) -> Image:
    """Decode an opened still to RGB; RGBA is composited on white."""
    from PIL import Image

    if picture.mode == "RGB":
        picture.load()
        return picture  # `convert` would copy it
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def still_size(encoded: bytes) -> tuple[int, int]:
    """Width and height of a still in pixels, from its header; raises `BrokenMedium`."""
    with opened_still(encoded) as picture:
        return picture.size


@contextmanager
def opened_still(encoded: bytes, formats: list[str] | None = None) -> Iterator[Image]:
    """Open a still; failures inside become `BrokenMedium`.

    Args:
        formats: Pillow's names of the formats to try; None: all.
    """
    from PIL import Image

    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)  # the warning raises under some filters
    with failures_as_broken("still"), reject_truncated_images():
        try:
            picture = Image.open(io.BytesIO(encoded), formats=formats)
        except bombs as error:
            raise TooLarge(f"still cannot be decoded: {error}") from error
        with picture:
            width, height = picture.size
            if width * height > MAX_PICTURE_PIXELS:
                raise TooLarge(
                    f"still cannot be decoded: {width}x{height} pixels, at most {MAX_PICTURE_PIXELS:,} are opened"
                )
            yield picture


_saved_settings: list[bool] = []  # original LOAD_TRUNCATED_IMAGES; one entry per thread in the context manager
_settings_lock = threading.Lock()


@contextmanager
def reject_truncated_images() -> Iterator[None]:
    """Temporarily disable Pillow's LOAD_TRUNCATED_IMAGES, which lmms-eval enables for the entire process."""
    from PIL import ImageFile

    with _settings_lock:
        _saved_settings.append(_saved_settings[0] if _saved_settings else ImageFile.LOAD_TRUNCATED_IMAGES)
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        with _settings_lock:
            original = _saved_settings.pop()
            if not _saved_settings:  # the last thread restores it
                ImageFile.LOAD_TRUNCATED_IMAGES = original


def clip_path(encoded: bytes, sha256: str = "") -> Path:
    """Write a clip's bytes to a cached file named by their SHA-256, unless it exists, and return its path."""
    name = sha256 or hashlib.sha256(encoded).hexdigest()
    path = cache_folder("clips") / f"{name}.mp4"
    if not path.exists():
        write_atomic(path, encoded)
    return path
