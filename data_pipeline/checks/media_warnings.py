"""Warnings about valid media that other backends refuse or show differently, and the rewriting of rotated stills.

Owns the limits of other backends and the reading of EXIF orientation. Broken media are found in `check_media.py`, whose
opened stills and frames are examined here, so that nothing is decoded twice.

`datasets` rotates a still by its EXIF orientation; qwen_vl_utils, and so the reference and the evaluation here, ignore
it. A still without an orientation is the same picture to all of them. It is rewritten as PNG, whatever its format was:
Pillow cannot rotate a JPEG without loss, and such stills are so rare that their size does not matter.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from data_pipeline.defects import DefectKind, Flaw

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_ASPECT_RATIO = 200  # MAX_RATIO of qwen_vl_utils; `smart_resize` of transformers' Qwen-VL processors raises as well
MIN_CLIP_FRAMES = 2  # FRAME_FACTOR of qwen_vl_utils, the frames of one temporal patch; fewer raise in `smart_nframes`
UPRIGHT = 1  # EXIF orientation; 2 to 8 are rotated or mirrored, other values have no meaning
PNG_EXIF_TEXTS = (b"Raw profile type exif", b"XML:com.adobe.xmp")  # keywords of text chunks with an orientation
PNG_MODES = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")

# Errors that Pillow's plugins raise on broken input; the set is not documented.
STILL_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    RuntimeError,
    AssertionError,
    struct.error,
    zlib.error,
)


def exif_orientation(still: Any, encoded: bytes) -> int | None:
    """EXIF orientation by which `datasets` would rotate an opened still, or None if it fails on broken EXIF."""
    from PIL.ExifTags import Base

    if still.format == "TIFF":  # rotated by Pillow itself when loaded
        return UPRIGHT
    if still.format == "PNG" and not _png_has_exif(encoded):
        return UPRIGHT  # Pillow would decode the picture, since EXIF may follow it
    try:
        orientation = still.getexif().get(Base.Orientation, UPRIGHT)
    except (*STILL_ERRORS, Warning):  # a warning raises under some filters
        return None
    return int(orientation) if orientation in range(2, 9) else UPRIGHT


def _png_has_exif(encoded: bytes) -> bool:
    position = 8  # of a chunk: length, name, content, checksum
    while position < len(encoded):
        if encoded[position + 4 : position + 8] == b"eXIf" or encoded.startswith(PNG_EXIF_TEXTS, position + 8):
            return True
        position += 12 + int.from_bytes(encoded[position : position + 4], "big")
    return False


def upright_png(still: Image, orientation: int | None) -> bytes:
    """A still as PNG, rotated by its EXIF orientation and without EXIF; only its first frame."""
    from PIL import ImageOps

    picture = still.copy() if orientation is None else ImageOps.exif_transpose(still)
    if picture.mode not in PNG_MODES:
        picture = picture.convert("RGB")
        picture.info.pop("icc_profile", None)  # it describes the colours before the conversion
    stream = BytesIO()
    picture.save(stream, "PNG", exif=b"")
    return stream.getvalue()


def still_warnings(still: Any) -> Iterator[Flaw]:
    """Warnings about an opened still other than about its EXIF; reads frames after the first, so call it last."""
    from PIL import Image

    yield from _shape_warnings(*still.size)
    try:
        if getattr(still, "is_animated", False):
            yield Flaw(DefectKind.HIDDEN_FRAMES, f"{still.n_frames} frames, of which the first is evaluated")
    except (Image.DecompressionBombError, *STILL_ERRORS):
        yield Flaw(DefectKind.HIDDEN_FRAMES, "broken data after the first frame, which is evaluated")


def clip_warnings(first: Any, times: Sequence[int | None], hidden: int) -> Iterator[Flaw]:
    """Warnings about a clip.

    Args:
        first: The first frame shown, an `av.VideoFrame`.
        times: Timestamps of all frames in storage order, without those that an edit list removes.
        hidden: Number of frames that an edit list removes.
    """
    shown = sum(None in (first.pts, time) or time >= first.pts for time in times)  # type: ignore[operator]
    hidden += len(times) - shown
    yield from _shape_warnings(first.width, first.height)
    if shown < MIN_CLIP_FRAMES:
        yield Flaw(DefectKind.ONE_FRAME, f"{shown} frame; qwen_vl_utils takes {MIN_CLIP_FRAMES} or more")
    if hidden:
        yield Flaw(DefectKind.HIDDEN_FRAMES, f"{hidden} of {shown + hidden} frames are not shown, but some decode them")
    if turn := round(first.rotation) % 360:
        yield Flaw(DefectKind.ROTATED_CLIP, f"{turn} degrees; decoders that ignore it show another picture")


def _shape_warnings(width: int, height: int) -> Iterator[Flaw]:
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        detail = f"{width} x {height} pixels; Qwen-VL processors take at most {MAX_ASPECT_RATIO}:1"
        yield Flaw(DefectKind.EXTREME_ASPECT_RATIO, detail)
