"""Warnings about valid media that other backends refuse or show differently, and the rewriting of rotated stills.

Owns the limits of other backends and the reading of EXIF orientation. Broken media are found in `check_media.py`, whose
opened stills and frames are examined here, so that nothing is decoded twice.

`datasets` rotates a still by its EXIF orientation; qwen_vl_utils, and so the reference and the evaluation here, ignore
it. A still without an orientation is the same picture to all of them. It is rewritten as PNG, whatever its format was:
Pillow cannot rotate a JPEG without loss, and such stills are so rare that their size does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.high_dynamic_range import NAMES, TAKEN_AS_STANDARD, colours_of_still
from lmms_eval_shotbench.media.clips import Clip
from lmms_eval_shotbench.media.orientation import Orientation

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_ASPECT_RATIO = 200  # MAX_RATIO of qwen_vl_utils; `smart_resize` of transformers' Qwen-VL processors raises as well
MIN_CLIP_FRAMES = 2  # FRAME_FACTOR of qwen_vl_utils, the frames of one temporal patch; fewer raise in `smart_nframes`
UPRIGHT = 1  # EXIF orientation; 2 to 8 are rotated or mirrored, other values have no meaning
PNG_EXIF_TEXTS = (b"Raw profile type exif", b"XML:com.adobe.xmp")  # keywords of text chunks with an orientation
DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")  # modes of Pillow
PNG_MODES = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")

_TURNED = {  # transpositions by EXIF orientation, named as in Pillow's `Image.Transpose`
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def exif_orientation(still: Any, encoded: bytes) -> int | None:
    """EXIF orientation by which `datasets` would rotate an opened still, or None if it fails on broken EXIF."""
    from PIL.ExifTags import Base

    if still.format == "TIFF":  # rotated by Pillow itself when loaded
        return UPRIGHT
    if still.format == "PNG" and not _png_has_exif(encoded):
        return UPRIGHT  # Pillow would decode the picture, since EXIF may follow it
    try:
        orientation = still.getexif().get(Base.Orientation, UPRIGHT)
        return int(orientation) if orientation in _TURNED else UPRIGHT
    except Exception:  # Pillow documents no closed set; a warning raises under some filters
        return None


def datasets_fails(still: Any, orientation: int) -> bool:
    """Whether `datasets` fails to rotate an opened still by its EXIF orientation; that copies all other EXIF."""
    from PIL import Image, ImageOps

    if orientation == UPRIGHT:
        return False
    pixel = Image.new("L", (1, 1))
    pixel.info = dict(still.info)
    try:
        ImageOps.exif_transpose(pixel)
    except Exception:
        return True
    return False


def _png_has_exif(encoded: bytes) -> bool:
    position = 8  # of a chunk: length, name, content, checksum
    while position < len(encoded):
        if encoded[position + 4 : position + 8] == b"eXIf" or encoded.startswith(PNG_EXIF_TEXTS, position + 8):
            return True
        position += 12 + int.from_bytes(encoded[position : position + 4], "big")
    return False


def turned(picture: Image, orientation: int | None) -> Image:
    """A picture turned by an EXIF orientation, or the same one if that changes nothing."""
    from PIL import Image

    turn = _TURNED.get(orientation or UPRIGHT)  # not by `exif_transpose`, which fails on other EXIF that is broken
    return picture.transpose(Image.Transpose[turn]) if turn else picture


def upright_png(still: Image, orientation: int | None) -> bytes:
    """A still as PNG, rotated by its EXIF orientation and without EXIF; only its first frame."""
    picture = turned(still, orientation)
    picture = still.copy() if picture is still else picture
    if picture.mode not in PNG_MODES:
        picture = picture.convert("RGB")
        picture.info.pop("icc_profile", None)  # it describes the colours before the conversion
    stream = BytesIO()
    picture.save(stream, "PNG", exif=b"")
    return stream.getvalue()


def colour_warnings(still: Any, encoded: bytes) -> Iterator[Flaw]:
    """Warnings about tones of an opened still that the evaluation, like the reference, does not map to 8 bits."""
    colours = colours_of_still(still, encoded)
    if colours.are_high_dynamic_range:
        detail = f"high dynamic range ({NAMES[colours.transfer]}) is shown as if it were standard: flat and grey"
        yield Flaw(DefectKind.UNMAPPED_TONES, detail)
    elif colours.may_be_high_dynamic_range:
        yield Flaw(DefectKind.UNKNOWN_TRANSFER, TAKEN_AS_STANDARD)
    if still.mode in DEEP_GREY:
        yield Flaw(DefectKind.UNMAPPED_TONES, f"grey of more than 8 bits ({still.mode}): values above 255 are white")


def still_warnings(still: Any) -> Iterator[Flaw]:
    """Warnings about the shape and frames of an opened still; reads frames after the first, so call it last."""
    yield from _shape_warnings(*still.size)
    try:
        if getattr(still, "is_animated", False):
            yield Flaw(DefectKind.HIDDEN_FRAMES, f"{still.n_frames} frames, of which the first is evaluated")
    except Exception:  # Pillow documents no closed set
        yield Flaw(DefectKind.HIDDEN_FRAMES, "broken data after the first frame, which is evaluated")


def clip_warnings(clip: Clip) -> Iterator[Flaw]:
    """Warnings about a clip."""
    yield from _shape_warnings(clip.width, clip.height)
    if clip.frames < MIN_CLIP_FRAMES:
        yield Flaw(DefectKind.ONE_FRAME, f"{clip.frames} frame; qwen_vl_utils takes {MIN_CLIP_FRAMES} or more")
    if clip.hidden:
        detail = f"{clip.hidden} of {clip.frames + clip.hidden} frames are not shown, but some decode them"
        yield Flaw(DefectKind.HIDDEN_FRAMES, detail)
    if clip.orientation != Orientation():
        mirrored = "mirrored and " if clip.orientation.mirrored else ""
        detail = f"{mirrored}{clip.orientation.degrees} degrees; decoders that ignore it show another picture"
        yield Flaw(DefectKind.ROTATED_CLIP, detail)
    if clip.starts_interlaced:
        yield Flaw(DefectKind.INTERLACED_CLIP, "both fields are shown at once, so that what moves has comb-like edges")


def _shape_warnings(width: int, height: int) -> Iterator[Flaw]:
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        detail = f"{width} x {height} pixels; Qwen-VL processors take at most {MAX_ASPECT_RATIO}:1"
        yield Flaw(DefectKind.EXTREME_ASPECT_RATIO, detail)
