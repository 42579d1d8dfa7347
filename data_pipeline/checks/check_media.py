"""Integrity check of one still or clip from its encoded bytes; no content of a file makes it raise.

Owns the limits on media; flaws are reported as in `defects.py`. Warnings about valid media are in `media_warnings.py`.
Media are located and read in `release_media.py` and prepared for a model in `lmms_eval_shotbench/media/`.

What passes can be read by the users of the shards, that is by the evaluation and by `datasets`: a still is decoded
completely, converted as the evaluation does, and its EXIF is read as `datasets` does; of a clip, every frame that the
evaluation counts is decoded.
Dimensions are checked in the header, before pixels are allocated. Only the listed formats are tried: Pillow would pass
PostScript to Ghostscript, and FFmpeg would open the URLs of a playlist named .mp4.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple

from data_pipeline.checks.media_warnings import (
    UPRIGHT,
    clip_warnings,
    colour_warnings,
    datasets_fails,
    exif_orientation,
    still_warnings,
    upright_png,
)
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.medium_guard import MediumGuard
from lmms_eval_shotbench.media.clips import Clip
from lmms_eval_shotbench.media.stills import as_rgb, opened_still
from lmms_eval_shotbench.vocabulary import MediaKind

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_MEDIUM_BYTES = 1 << 30  # 1 GiB; also keeps a row group below Arrow's 2 GiB for one binary column
STILL_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "JPEG2000")


class CheckedMedium(NamedTuple):
    """Result of a check: the flaw of a medium that cannot be used, or warnings about a valid one."""

    flaw: Flaw | None = None
    warnings: tuple[Flaw, ...] = ()
    upright: bytes = b""  # PNG to store instead of the medium; empty unless it is a still whose EXIF would be misread


def check_file_size(size: int) -> Flaw | None:
    """Check the size of a medium in bytes, before it is read."""
    if size == 0:
        return Flaw(DefectKind.EMPTY_FILE, "0 bytes")
    if size > MAX_MEDIUM_BYTES:
        return Flaw(DefectKind.TOO_LARGE, f"{size:,} bytes, the limit is {MAX_MEDIUM_BYTES:,}")
    return None


def check_medium(kind: MediaKind, encoded: bytes) -> CheckedMedium:
    """Check a medium."""
    flaws: list[Flaw] = []
    with MediumGuard(flaws.append, "checking it"):
        if flaw := check_file_size(len(encoded)):
            return CheckedMedium(flaw)
        return _check_still(encoded) if kind is MediaKind.STILL else _check_clip(encoded)
    return CheckedMedium(flaws[0])


def check_header(kind: MediaKind, encoded: bytes) -> CheckedMedium:
    """Check only the header of a still; it is decoded if it must be rewritten. Clips and broken stills pass."""
    if kind is MediaKind.STILL:
        with MediumGuard(lambda flaw: None, "checking it"):
            return _check_still(encoded, decode=False)
    return CheckedMedium()


def check_stored(kind: MediaKind, encoded: bytes) -> CheckedMedium:
    """Check a medium of finished shards, which is not rewritten; the pixels of a still are not decoded."""
    if kind is not MediaKind.STILL:
        return check_medium(kind, encoded)
    flaws: list[Flaw] = []
    with MediumGuard(flaws.append, "checking it"):
        with _allowed_still(encoded) as still:
            orientation = exif_orientation(still, encoded)
            if orientation is None or datasets_fails(still, orientation):
                return CheckedMedium(_exif_flaw(DefectKind.UNREADABLE_EXIF, None))
            exif = [_exif_flaw(DefectKind.EXIF_ORIENTATION, orientation)] if orientation != UPRIGHT else []
            return CheckedMedium(warnings=(*exif, *colour_warnings(still, encoded), *still_warnings(still)))
    return CheckedMedium(flaws[0])


def _check_still(encoded: bytes, decode: bool = True) -> CheckedMedium:
    with _allowed_still(encoded) as still:
        if decode:
            as_rgb(still)
        orientation, colours = exif_orientation(still, encoded), tuple(colour_warnings(still, encoded))
        if orientation == UPRIGHT:
            return CheckedMedium(warnings=(*colours, *still_warnings(still)))
        upright = upright_png(still, orientation)
    with _allowed_still(upright) as still:
        as_rgb(still)
        warnings = (_exif_flaw(DefectKind.STORED_UPRIGHT, orientation), *colours, *still_warnings(still))
    return CheckedMedium(None, warnings, upright)


def _allowed_still(encoded: bytes) -> AbstractContextManager[Image]:
    from PIL import Image

    Image.init()
    return opened_still(encoded, [name for name in STILL_FORMATS if name in Image.OPEN])


def _exif_flaw(kind: DefectKind, orientation: int | None) -> Flaw:
    if orientation is None:
        return Flaw(DefectKind.UNREADABLE_EXIF, "`datasets` fails on it")
    return Flaw(kind, f"EXIF orientation {orientation}")


def _check_clip(encoded: bytes) -> CheckedMedium:
    with Clip(encoded) as clip:
        clip.require_all_frames()
        return CheckedMedium(warnings=tuple(clip_warnings(clip)))
