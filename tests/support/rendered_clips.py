"""Clips in which every frame shows its number, in black and white blocks that survive compression."""

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

COLUMNS, ROWS = 6, 2  # one block per bit, the lowest in the upper left corner
BLACK, WHITE = 16, 235
_RENDERED: dict[str, bytes] = {}  # by the description of the clip


@dataclass(frozen=True)
class Rendering:
    """Encoding of a clip. `size` is the displayed one; `times` are in seconds, evenly spaced if empty."""

    frames: int
    rate: Fraction = Fraction(24)
    size: tuple[int, int] = (64, 36)
    codec: str = "libx264"
    container: str = "mp4"
    pixels: str = "yuv420p"
    times: Sequence[float] = ()
    start: int = 0  # time of the first frame, in frames
    turned: int = 0  # degrees by which a player rotates the stored picture clockwise
    mirrored: bool = False  # whether it exchanges left and right before
    codec_options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)
    context: dict[str, int] = field(default_factory=dict)  # encoder attributes such as colorspace


def numbered_picture(number: int, width: int, height: int) -> Any:
    """Blocks of the number's bits over a colour gradient, which reveals wrong colours: uint8 [height, width, 3]."""
    red, green = numpy.linspace(40, 200, width), numpy.linspace(60, 180, height)
    picture = numpy.stack(numpy.broadcast_arrays(red, green[:, None], (number * 37) % 200), axis=-1).astype("uint8")
    for bit in range(COLUMNS * ROWS):
        row, column = divmod(bit, COLUMNS)
        block = picture[row * height // ROWS :, column * width // COLUMNS :][: height * 3 // 8, : width // COLUMNS]
        block[...] = WHITE if number >> bit & 1 else BLACK
    return picture


def number_shown(picture: Any) -> int:
    """Decode the number shown in a frame."""
    height, width = picture.shape[:2]
    number = 0
    for bit in range(COLUMNS * ROWS):
        row, column = divmod(bit, COLUMNS)
        y, x = row * height // ROWS + height * 3 // 16, int((column + 0.5) * width / COLUMNS)
        number |= int(picture[y - 1 : y + 2, x - 1 : x + 2].mean() > (BLACK + WHITE) / 2) << bit
    return number


def render(rendering: Rendering) -> bytes:
    """The clip as encoded by the first call of this process."""
    if (key := repr(rendering)) not in _RENDERED:
        _RENDERED[key] = encode(rendering)
    return _RENDERED[key]


def encode(rendering: Rendering) -> bytes:
    """Encode the numbered frames 0, 1, 2, … to a file and return its bytes."""
    with tempfile.TemporaryDirectory() as folder, restored_scheduling():
        path = Path(folder) / "clip"
        options = {"fflags": "+bitexact", **rendering.container_options}
        with av.open(str(path), "w", format=rendering.container, options=options) as container:
            stream: Any = container.add_stream(rendering.codec, rate=rendering.rate, options=_fast_options(rendering))
            stream.width, stream.height = rendering.size[:: -1 if rendering.turned % 180 else 1]
            stream.pix_fmt = rendering.pixels
            if rendering.times:
                stream.codec_context.time_base = Fraction(1, 12000)
            for name, value in rendering.context.items():
                setattr(stream.codec_context, name, value)
            for number in range(rendering.frames):
                container.mux(stream.encode(_frame(rendering, number)))
            container.mux(stream.encode())
        return with_orientation(path.read_bytes(), rendering.turned, rendering.mirrored)


@contextmanager
def restored_scheduling() -> Iterator[None]:
    """Restore the scheduling policy: for root, SVT-AV1 makes its caller real-time, which starves other processes."""
    if not hasattr(os, "sched_getscheduler"):  # not on macOS
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def _fast_options(rendering: Rendering) -> dict[str, str]:
    fast = {
        "libx264": {"preset": "veryfast", "crf": "20"},
        "libx265": {"preset": "superfast", "x265-params": "log-level=none"},
        "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "5"},
    }
    return {"threads": "1", **fast.get(rendering.codec, {}), **rendering.codec_options}


def _frame(rendering: Rendering, number: int) -> Any:
    picture = stored_picture(numbered_picture(number, *rendering.size), rendering.turned, rendering.mirrored)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    if rendering.times:
        frame.pts, frame.time_base = round(rendering.times[number] * 12000), Fraction(1, 12000)
    else:
        frame.pts = rendering.start + number
    return frame


def stored_picture(picture: Any, degrees: int, mirrored: bool) -> Any:
    """What a file stores that is upright after it is mirrored, if so, and rotated clockwise."""
    turned = numpy.rot90(picture, degrees // 90)
    return numpy.ascontiguousarray(turned[:, ::-1] if mirrored else turned)


def with_orientation(encoded: bytes, degrees: int, mirrored: bool = False) -> bytes:
    """Write a clockwise rotation by a multiple of 90 degrees, after a reflection, into an MP4's track header."""
    if not degrees and not mirrored:
        return encoded
    one = 1 << 16
    cosine, sine = {0: (one, 0), 90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees]
    left = -1 if mirrored else 1
    matrix = [left * cosine, left * sine, 0, -sine, cosine, 0, 0, 0, 1 << 30]
    start = encoded.index(b"tkhd") + 44
    return encoded[:start] + b"".join(entry.to_bytes(4, "big", signed=True) for entry in matrix) + encoded[start + 36 :]


def copied(encoded: bytes, container: str, start: float = 0.0, **options: str) -> bytes:
    """Stream copy from `start` seconds to another container, as with `ffmpeg -ss … -c copy`."""
    target = io.BytesIO()
    with av.open(io.BytesIO(encoded)) as source, av.open(target, "w", format=container, options=options) as result:
        stream = source.streams.video[0]
        copy = result.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None and packet.pts * packet.time_base >= start:
                packet.stream = copy
                result.mux(packet)
    return target.getvalue()
