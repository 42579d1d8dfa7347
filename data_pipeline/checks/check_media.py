"""Integrity check of one still or clip from its encoded bytes; no content of a file makes it raise.

Owns the limits on media; flaws are reported as in `defects.py`. Warnings about valid media are in `media_warnings.py`.
Media are located and read in `release_media.py` and prepared for a model in `lmms_eval_shotbench/media/`.

A still is decoded completely, since a truncated JPEG opens without an error. Of a clip, the first frame is decoded, and
the others are counted.
Dimensions are checked in the header, before pixels are allocated. Only the listed formats are tried: Pillow would pass
PostScript to Ghostscript, and FFmpeg would open the URLs of a playlist named .mp4.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

from data_pipeline.checks.media_warnings import (
    STILL_ERRORS,
    UPRIGHT,
    clip_warnings,
    exif_orientation,
    still_warnings,
    upright_png,
)
from data_pipeline.defects import DefectKind, Flaw
from lmms_eval_shotbench.media.clips import CLIP_FORMATS
from lmms_eval_shotbench.media.stills import MAX_PICTURE_PIXELS, reject_truncated_images
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
    if flaw := check_file_size(len(encoded)):
        return CheckedMedium(flaw)
    return _check_still(encoded) if kind is MediaKind.STILL else _check_clip(encoded)


def check_header(kind: MediaKind, encoded: bytes) -> CheckedMedium:
    """Check only the header of a still; it is decoded if it must be rewritten. Clips and broken stills pass."""
    if kind is not MediaKind.STILL:
        return CheckedMedium()
    checked = _check_still(encoded, decode=False)
    return CheckedMedium() if checked.flaw else checked


def media_warnings(kind: MediaKind, encoded: bytes) -> tuple[Flaw, ...]:
    """Warnings about a medium as it is stored; none if it is broken. A still is not decoded, of a clip one frame."""
    if kind is not MediaKind.STILL:
        return _check_clip(encoded).warnings
    from PIL import Image

    try:
        with _opened_still(encoded) as still:
            orientation = exif_orientation(still, encoded)
            exif = [_exif_flaw(DefectKind.EXIF_ORIENTATION, orientation)] if orientation != UPRIGHT else []
            return (*exif, *still_warnings(still))
    except (Image.DecompressionBombError, *STILL_ERRORS):
        return ()


def _check_still(encoded: bytes, decode: bool = True) -> CheckedMedium:
    from PIL import Image

    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)  # the warning raises under some filters
    try:
        with _opened_still(encoded) as still:
            if flaw := _judge_pixels(*still.size):
                return CheckedMedium(flaw)
            if decode:
                still.load()
            orientation = exif_orientation(still, encoded)
            if orientation == UPRIGHT:
                return CheckedMedium(warnings=tuple(still_warnings(still)))
            upright = upright_png(still, orientation)
        with _opened_still(upright) as still:
            warnings = (_exif_flaw(DefectKind.STORED_UPRIGHT, orientation), *still_warnings(still))
        return CheckedMedium(None, warnings, upright)
    except bombs as error:
        return CheckedMedium(Flaw(DefectKind.TOO_LARGE, _one_line(error)))
    except STILL_ERRORS as error:
        return CheckedMedium(Flaw(DefectKind.UNDECODABLE_MEDIUM, _one_line(error)))


@contextmanager
def _opened_still(encoded: bytes) -> Iterator[Image]:
    from PIL import Image

    Image.init()
    formats = [name for name in STILL_FORMATS if name in Image.OPEN]
    with reject_truncated_images(), Image.open(BytesIO(encoded), formats=formats) as still:
        yield still


def _exif_flaw(kind: DefectKind, orientation: int | None) -> Flaw:
    if orientation is None:
        return Flaw(DefectKind.UNREADABLE_EXIF, "`datasets` fails on it")
    return Flaw(kind, f"EXIF orientation {orientation}")


def _check_clip(encoded: bytes) -> CheckedMedium:
    import av

    try:
        # Metadata that is not UTF-8 must not fail a clip. Passed as `options`, FLV files would crash PyAV.
        options = {"format_whitelist": CLIP_FORMATS, "protocol_whitelist": ""}
        with av.open(BytesIO(encoded), metadata_errors="replace", container_options=options) as clip:
            if not clip.streams.video:
                return CheckedMedium(Flaw(DefectKind.CLIP_WITHOUT_FRAMES, "no video stream"))
            stream = clip.streams.video[0]
            if stream.codec_context is None:
                detail = "FFmpeg does not know the codec of the video stream"
                return CheckedMedium(Flaw(DefectKind.UNDECODABLE_MEDIUM, detail))
            if flaw := _judge_pixels(stream.codec_context.width, stream.codec_context.height):
                return CheckedMedium(flaw)
            first, times, hidden = _first_frame(clip, stream)
            if first is None:
                return CheckedMedium(Flaw(DefectKind.CLIP_WITHOUT_FRAMES, "the video stream holds no frame"))
            if flaw := _judge_pixels(first.width, first.height):
                return CheckedMedium(flaw)
            return CheckedMedium(warnings=tuple(clip_warnings(first, times, hidden)))
    except (av.FFmpegError, *STILL_ERRORS) as error:
        return CheckedMedium(Flaw(DefectKind.UNDECODABLE_MEDIUM, _one_line(error)))


def _first_frame(clip: Any, stream: Any) -> tuple[Any, list[int | None], int]:
    """The first frame, the timestamps of all frames, and the number of frames that an edit list removes."""
    import av

    first, hidden = None, 0
    times: list[int | None] = []
    try:
        for packet in clip.demux(stream):
            first = first or next(iter(packet.decode()), None)
            hidden += packet.size > 0 and packet.is_discard
            if packet.size and not packet.is_discard:  # the last packet is empty and flushes the decoder
                times.append(packet.pts)
    except av.FFmpegError:
        if first is None:  # what follows the first frame is not checked
            raise
    return first, times, hidden


def _judge_pixels(width: int, height: int) -> Flaw | None:
    if width * height > MAX_PICTURE_PIXELS:
        return Flaw(DefectKind.TOO_LARGE, f"{width} x {height} pixels, the limit is {MAX_PICTURE_PIXELS:,}")
    return None


def _one_line(error: BaseException) -> str:
    """The decoder's message on one line; without the address of the buffer, so that two runs report the same."""
    if type(error).__name__ == "UnidentifiedImageError":
        return "no known picture format"
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
