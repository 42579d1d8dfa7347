"""Clips whose every frame shows its own number, in blocks of black and white that outlive compression."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy

COLUMNS, ROWS = 6, 2  # one block a bit, the lowest in the upper left corner
BLACK, WHITE = 16, 235


@dataclass(frozen=True)
class Rendering:
    """How a clip is encoded. `size` is the one shown; `times`, in seconds, are even if empty."""

    frames: int
    rate: Fraction = Fraction(24)
    size: tuple[int, int] = (64, 36)
    codec: str = "libx264"
    container: str = "mp4"
    pixels: str = "yuv420p"
    times: Sequence[float] = ()
    start: int = 0  # place of the first frame in time, in frames
    turned: int = 0  # degrees clockwise that a player turns the stored picture
    codec_options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)
    context: dict[str, int] = field(default_factory=dict)  # attributes of the encoder, such as colorspace


def numbered_picture(number: int, width: int, height: int) -> Any:
    """Blocks of the number's bits over a coloured slope, which tells right colours from wrong."""
    across, down = numpy.linspace(40, 200, width), numpy.linspace(60, 180, height)
    picture = numpy.stack(numpy.broadcast_arrays(across, down[:, None], (number * 37) % 200), axis=-1).astype("uint8")
    for bit in range(COLUMNS * ROWS):
        row, column = divmod(bit, COLUMNS)
        block = picture[row * height // ROWS :, column * width // COLUMNS :][: height * 3 // 8, : width // COLUMNS]
        block[...] = WHITE if number >> bit & 1 else BLACK
    return picture


def number_shown(picture: Any) -> int:
    """Read the number back."""
    height, width = picture.shape[:2]
    number = 0
    for bit in range(COLUMNS * ROWS):
        row, column = divmod(bit, COLUMNS)
        y, x = row * height // ROWS + height * 3 // 16, int((column + 0.5) * width / COLUMNS)
        number |= int(picture[y - 1 : y + 2, x - 1 : x + 2].mean() > (BLACK + WHITE) / 2) << bit
    return number


def render(how: Rendering) -> bytes:
    """Encode the numbered frames 0, 1, 2, …"""
    with tempfile.TemporaryDirectory() as folder, usual_scheduling():
        path = Path(folder) / "clip"
        options = {"fflags": "+bitexact", **how.container_options}
        with av.open(str(path), "w", format=how.container, options=options) as container:
            stream: Any = container.add_stream(how.codec, rate=how.rate, options=_quick(how))
            stream.width, stream.height = how.size[:: -1 if how.turned % 180 else 1]
            stream.pix_fmt = how.pixels
            if how.times:
                stream.codec_context.time_base = Fraction(1, 12000)
            for name, value in how.context.items():
                setattr(stream.codec_context, name, value)
            for number in range(how.frames):
                container.mux(stream.encode(_frame(how, number)))
            container.mux(stream.encode())
        return _turned(path.read_bytes(), how.turned)


@contextmanager
def usual_scheduling() -> Iterator[None]:
    """Leave the process as it was: for root, SVT-AV1 makes its caller real-time, before which all else has to wait."""
    if not hasattr(os, "sched_getscheduler"):  # not on macOS
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def _quick(how: Rendering) -> dict[str, str]:
    quick = {
        "libx264": {"preset": "veryfast", "crf": "20"},
        "libx265": {"preset": "superfast", "x265-params": "log-level=none"},
        "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "5"},
    }
    return {"threads": "1", **quick.get(how.codec, {}), **how.codec_options}


def _frame(how: Rendering, number: int) -> Any:
    picture = numpy.rot90(numbered_picture(number, *how.size), how.turned // 90)
    frame = av.VideoFrame.from_ndarray(numpy.ascontiguousarray(picture), format="rgb24")
    if how.times:
        frame.pts, frame.time_base = round(how.times[number] * 12000), Fraction(1, 12000)
    else:
        frame.pts = how.start + number
    return frame


def _turned(encoded: bytes, degrees: int) -> bytes:
    """Write a quarter turn into the matrix of an MP4's track header."""
    if not degrees:
        return encoded
    one = 1 << 16
    cosine, sine = {90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees]
    matrix = [cosine, sine, 0, -sine, cosine, 0, 0, 0, 1 << 30]
    place = encoded.index(b"tkhd") + 44
    return encoded[:place] + b"".join(entry.to_bytes(4, "big", signed=True) for entry in matrix) + encoded[place + 36 :]


def copied(encoded: bytes, container: str, start: float = 0.0, **options: str) -> bytes:
    """The packets from `start` seconds on in another container, as `ffmpeg -ss … -c copy` cuts."""
    target = io.BytesIO()
    with av.open(io.BytesIO(encoded)) as source, av.open(target, "w", format=container, options=options) as result:
        stream = source.streams.video[0]
        copy = result.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None and packet.pts * packet.time_base >= start:
                packet.stream = copy
                result.mux(packet)
    return target.getvalue()
