"""Is this medium sound? Judges the encoded bytes of one still or clip; nothing a file holds can raise here.

Owns the limits on media. What is wrong is said in the words of `defects.py`. It does not find or read media (see
`release_media.py`) and does not prepare them for a model (see `lmms_eval_shotbench/media/stills.py`).

A still is decoded whole, since a cut JPEG opens without complaint. Of a clip the first frame is decoded. Size is
judged by the header, before any pixel is allocated. Only the named formats are tried: Pillow would hand PostScript to
Ghostscript, and FFmpeg would follow the addresses of a playlist that calls itself .mp4.
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

# What Pillow's plugins raise on broken input; they promise no closed set.
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


def judge_size(size: int) -> Flaw | None:
    """Judge a medium by its length, before it is read."""
    if size == 0:
        return Flaw(DefectKind.EMPTY_FILE, "0 bytes")
    if size > MAX_MEDIUM_BYTES:
        return Flaw(DefectKind.TOO_LARGE, f"{size:,} bytes, the limit is {MAX_MEDIUM_BYTES:,}")
    return None


def check_medium(kind: MediaKind, encoded: bytes) -> Flaw | None:
    """Return what is wrong with a medium, None if nothing is."""
    return judge_size(len(encoded)) or (_check_still if kind is MediaKind.STILL else _check_clip)(encoded)


def _check_still(encoded: bytes) -> Flaw | None:
    from PIL import Image

    Image.init()
    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)  # the warning, where a caller made it raise
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
        # Titles in an old encoding are no reason to lose a clip. As `options`, FLV would crash PyAV.
        options = {"format_whitelist": CLIP_FORMATS, "protocol_whitelist": ""}
        with av.open(BytesIO(encoded), metadata_errors="replace", container_options=options) as clip:
            if not clip.streams.video:
                return Flaw(DefectKind.CLIP_WITHOUT_FRAMES, "no video stream")
            stream = clip.streams.video[0]
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
    """The decoder's own words, without the address of our buffer, so that two runs report alike."""
    if type(error).__name__ == "UnidentifiedImageError":
        return "no known picture format"
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
