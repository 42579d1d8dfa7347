"""Media for stand-in releases: many that differ in few bytes, unusual but valid ones, and ones broken in twelve ways.

Owns the drawing. A few hundred media are drawn; every file is one of them with a unique comment that decoders ignore,
so that tens of thousands take seconds and all differ. `stand_in_shotqa.py` packs them.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from stand_in_release import Drawing, MediaSettings, draw

from data_pipeline.defects import DefectKind
from lmms_eval_shotbench.vocabulary import MediaKind

STILLS, CLIPS = 120, 8  # drawn; every file is one of them
SMALL_MEDIA = MediaSettings(still_size=(320, 180), clip_seconds=(0.3, 0.6), clip_size=(160, 90))


class Breakage(NamedTuple):
    """A kind of breakage: the defect that an import must report, and a function from valid bytes to broken ones."""

    name: str
    kind: MediaKind
    defect: DefectKind
    encode: Callable[[bytes, random.Random], bytes]


@lru_cache(maxsize=STILLS + CLIPS)
def _drawn(kind: MediaKind, number: int, settings: MediaSettings) -> bytes:
    return draw(settings, Drawing("still.jpg" if kind is MediaKind.STILL else "clip.mp4", kind, number))


def valid_medium(kind: MediaKind, number: int, settings: MediaSettings = SMALL_MEDIA, least_bytes: int = 0) -> bytes:
    """A valid medium with unique bytes, padded after its content to at least `least_bytes`."""
    mark = f"stand-in {number}".encode()
    if kind is MediaKind.STILL:
        still = marked(kind, _drawn(kind, number % STILLS, settings), mark)
        return still + random.Random(number).randbytes(max(0, least_bytes - len(still)))
    encoded = _drawn(kind, number % CLIPS, settings)
    mark += random.Random(number).randbytes(max(0, least_bytes - len(encoded) - len(mark)))
    return marked(kind, encoded, mark)


def marked(kind: MediaKind, encoded: bytes, mark: bytes) -> bytes:
    """The same picture in other bytes: with a JPEG comment, or with an MP4 box that decoders ignore."""
    if kind is MediaKind.STILL:
        return encoded[:2] + b"\xff\xfe" + struct.pack(">H", len(mark) + 2) + mark + encoded[2:]
    return encoded + struct.pack(">I", len(mark) + 8) + b"free" + mark


def odd_medium(number: int) -> bytes:
    """An unusual but valid still: CMYK, 16 bits, grey, or a PNG whatever its suffix."""
    import numpy
    from PIL import Image

    noise = numpy.random.default_rng(number)
    stream = io.BytesIO()
    mode, form = (("CMYK", "JPEG"), ("I;16", "PNG"), ("L", "JPEG"), ("RGBA", "PNG"))[number % 4]
    if mode == "I;16":
        picture = Image.fromarray(noise.integers(0, 65536, (36, 64), dtype="uint16"))
    else:
        channels = len(Image.new(mode, (1, 1)).getbands())
        pixels = noise.integers(0, 256, (36, 64, channels), dtype="uint8")
        picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels, mode)
    picture.save(stream, form)
    return stream.getvalue()


def _png(width: int, height: int) -> bytes:
    """A PNG whose header declares a picture too large for memory."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@lru_cache(maxsize=1)
def _sound_track() -> bytes:
    """An MP4 with an audio track and no video track."""
    import av
    import numpy

    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        track: Any = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(numpy.zeros((1, 1024), dtype="float32"), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(track.encode(frame))
        container.mux(track.encode())
    return stream.getvalue()


_PAGE = b"<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>\n"
_POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 36\nshowpage\n"
_STILL, _CLIP, _BROKEN, _LARGE = MediaKind.STILL, MediaKind.CLIP, DefectKind.UNDECODABLE_MEDIUM, DefectKind.TOO_LARGE
BREAKAGES = (
    Breakage("cut off", _STILL, _BROKEN, lambda valid, rng: valid[: len(valid) * rng.randint(20, 80) // 100]),
    Breakage("zero bytes", _STILL, DefectKind.EMPTY_FILE, lambda valid, rng: b""),
    Breakage("a clip named jpg", _STILL, _BROKEN, lambda valid, rng: valid_medium(_CLIP, rng.randrange(99))),
    Breakage("a bomb", _STILL, _LARGE, lambda valid, rng: _png(50_000, 50_000)),
    Breakage("absurd dimensions", _STILL, _LARGE, lambda valid, rng: _png(2_000_000_000, 1)),
    Breakage("a page of text", _STILL, _BROKEN, lambda valid, rng: _PAGE),
    Breakage("random bytes", _STILL, _BROKEN, lambda valid, rng: rng.randbytes(5_000)),
    Breakage("PostScript", _STILL, _BROKEN, lambda valid, rng: _POSTSCRIPT),
    Breakage("sound only", _CLIP, DefectKind.CLIP_WITHOUT_FRAMES, lambda valid, rng: _sound_track()),
    Breakage("a cut clip", _CLIP, _BROKEN, lambda valid, rng: valid[: len(valid) // 2]),
    Breakage("a still named mp4", _CLIP, _BROKEN, lambda valid, rng: valid_medium(_STILL, rng.randrange(99))),
    Breakage("an empty clip", _CLIP, DefectKind.EMPTY_FILE, lambda valid, rng: b""),
)
