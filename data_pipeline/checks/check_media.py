"""Integrity check of one still or clip from its encoded bytes; no content of a file makes it raise.

Owns the limits on media; flaws are reported as in `defects.py`. Media are located and read in `release_media.py` and
prepared for a model in `lmms_eval_shotbench/media/`.

A still is decoded completely, since a truncated JPEG opens without an error. Of a clip, the first frame is decoded.
Dimensions are checked in the header, before pixels are allocated. Only the listed formats are tried: Pillow would pass
PostScript to Ghostscript, and FFmpeg would open the URLs of a playlist named .mp4.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

from data_pipeline.defects import DefectKind, Flaw
from lmms_eval_shotbench.media.clips import CLIP_FORMATS
from lmms_eval_shotbench.media.stills import MAX_PICTURE_PIXELS, reject_truncated_images
from lmms_eval_shotbench.vocabulary import MediaKind

MAX_MEDIUM_BYTES = 1 << 30  # 1 GiB; also keeps a row group below Arrow's 2 GiB for one binary column
STILL_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")

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


def check_file_size(size: int) -> Flaw | None:
    """Check the size of a medium in bytes, before it is read."""
    if size == 0:
        return Flaw(DefectKind.EMPTY_FILE, "0 bytes")
    if size > MAX_MEDIUM_BYTES:
        return Flaw(DefectKind.TOO_LARGE, f"{size:,} bytes, the limit is {MAX_MEDIUM_BYTES:,}")
    return None


def check_medium(kind: MediaKind, encoded: bytes) -> Flaw | None:
    """Return the flaw of a medium, or None if it is valid."""
    return check_file_size(len(encoded)) or (_check_still if kind is MediaKind.STILL else _check_clip)(encoded)


def _check_still(encoded: bytes) -> Flaw | None:
    from PIL import Image

    Image.init()
    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)  # the warning raises under some filters
    try:
        formats = [name for name in STILL_FORMATS if name in Image.OPEN]
        with reject_truncated_images(), Image.open(BytesIO(encoded), formats=formats) as still:
            if flaw := _judge_pixels(*still.size):
                return flaw
            still.load()
    except bombs as error:
        return Flaw(DefectKind.TOO_LARGE, _one_line(error))
    except STILL_ERRORS as error:
        return Flaw(DefectKind.UNDECODABLE_MEDIUM, _one_line(error))
    return None


def _check_clip(encoded: bytes) -> Flaw | None:
    import av

    try:
        # Metadata that is not UTF-8 must not fail a clip. Passed as `options`, FLV files would crash PyAV.
        options = {"format_whitelist": CLIP_FORMATS, "protocol_whitelist": ""}
        with av.open(BytesIO(encoded), metadata_errors="replace", container_options=options) as clip:
            if not clip.streams.video:
                return Flaw(DefectKind.CLIP_WITHOUT_FRAMES, "no video stream")
            stream = clip.streams.video[0]
            if stream.codec_context is None:
                return Flaw(DefectKind.UNDECODABLE_MEDIUM, "FFmpeg does not know the codec of the video stream")
            if flaw := _judge_pixels(stream.codec_context.width, stream.codec_context.height):
                return flaw
            frame = next(clip.decode(stream), None)
            if frame is None:
                return Flaw(DefectKind.CLIP_WITHOUT_FRAMES, "the video stream holds no frame")
            return _judge_pixels(frame.width, frame.height)
    except (av.FFmpegError, *STILL_ERRORS) as error:
        return Flaw(DefectKind.UNDECODABLE_MEDIUM, _one_line(error))


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
