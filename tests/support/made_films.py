"""Films of several shots, rendered for tests: every frame shows its number, every shot has its own texture.

The number is encoded in a strip of black and white blocks in the lower part of the picture; it survives cropping,
scaling and encoding. The textures are coarse and drift, so that the detector finds cuts and the quality filter motion.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy

from tests.support.rendered_clips import stored_picture, with_orientation

BITS = 12
TICKS = 12000  # per second, if `times` are given
LIMITED, FULL = 1, 2  # FFmpeg's AVColorRange values
BT601 = 5  # FFmpeg's AVColorSpace value for small films
_ENCODED: dict[str, bytes] = {}  # by the description of the film


@dataclass(frozen=True)
class MadeShot:
    """One shot: a number of frames of the texture with this seed."""

    frames: int
    seed: int
    light: float = 1.0  # of full brightness
    drift: float = 2.0  # pixels per frame
    numbered: bool = True
    bars: int | None = None  # None: the film's


@dataclass(frozen=True)
class MadeFilm:
    """Content and encoding of a film; `size` is the displayed one, including the bars."""

    shots: Sequence[MadeShot] = (MadeShot(36, 1), MadeShot(48, 2), MadeShot(36, 3))
    size: tuple[int, int] = (256, 144)
    bars: int = 0  # rows of black above and below
    rate: Fraction = Fraction(24)
    times: Sequence[float] = ()  # of the frames, in seconds; empty: evenly spaced
    codec: str = "libx264"
    container: str = "mp4"
    pixels: str = "yuv420p"
    turned: int = 0  # degrees by which a player rotates the stored picture clockwise
    mirrored: bool = False  # whether it exchanges left and right before
    interlaced: Sequence[int] = ()  # numbers of the frames whose second field is the next frame's
    aspect: Fraction = Fraction(1)  # of a pixel
    options: dict[str, str] = field(default_factory=dict)
    context: dict[str, int] = field(default_factory=dict)  # encoder attributes such as color_trc
    timecode: str = ""  # of the first frame, in the file's metadata

    @property
    def frames(self) -> int:
        return sum(shot.frames for shot in self.shots)

    @property
    def cuts(self) -> list[int]:
        return numpy.cumsum([shot.frames for shot in self.shots])[:-1].tolist()

    def time_of(self, number: int) -> float:
        return self.times[number] if self.times else float(number / self.rate)

    def write(self, path: Path, **changed: Any) -> Path:
        """Write the film, with `changed` fields, to a file; it is encoded once in a process."""
        film = replace(self, **changed)
        path.parent.mkdir(parents=True, exist_ok=True)
        if (key := repr(film)) not in _ENCODED:
            film.encode(path)
            _ENCODED[key] = path.read_bytes()
        path.write_bytes(_ENCODED[key])
        return path

    def encode(self, path: Path) -> None:
        with av.open(str(path), "w", format=self.container) as container:
            container.metadata.update({"timecode": self.timecode} if self.timecode else {})
            fast = {
                "libx264": {"preset": "ultrafast", "crf": "18"},
                "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
            }
            options = {"threads": "1", **fast.get(self.codec, {}), **self.options}
            stream: Any = container.add_stream(self.codec, rate=self.rate, options=options)
            stream.width, stream.height = self.size[:: -1 if self.turned % 180 else 1]
            stream.pix_fmt = self.pixels
            stream.codec_context.sample_aspect_ratio = self.aspect
            if self.times:
                stream.codec_context.time_base = Fraction(1, TICKS)
            for name, value in self.context.items():
                setattr(stream.codec_context, name, value)
            for number, picture in enumerate(self.fields()):
                stored = stored_picture(picture, self.turned, self.mirrored)
                frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
                frame = frame.reformat(
                    format=self.pixels,
                    dst_colorspace=self.context.get("colorspace", BT601),
                    dst_color_range=FULL if self.pixels.startswith("yuvj") else LIMITED,
                )
                frame.pts = number
                if self.times:
                    frame.pts, frame.time_base = round(self.times[number] * TICKS), Fraction(1, TICKS)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        path.write_bytes(with_orientation(path.read_bytes(), self.turned, self.mirrored))

    def fields(self) -> Iterator[numpy.ndarray]:
        """All frames as displayed, interlaced where the film is; the number is that of the first field in both."""
        pictures = list(self.pictures()) if self.interlaced else self.pictures()
        for number, picture in enumerate(pictures):
            if number in self.interlaced and isinstance(pictures, list):
                strip = slice(self.size[1] * 3 // 4 // 2 * 2, -(-self.size[1] * 7 // 8 // 2) * 2)
                woven, following = picture.copy(), pictures[min(number + 1, self.frames - 1)].copy()
                following[strip] = picture[strip]
                woven[1::2] = following[1::2]
                yield woven
            else:
                yield picture

    def pictures(self) -> Iterator[numpy.ndarray]:
        """All frames as displayed: uint8 RGB [height, width, 3]."""
        number = 0
        for shot in self.shots:
            bars = self.bars if shot.bars is None else shot.bars
            texture = _texture(shot, self.size[0] + 400, self.size[1] - 2 * bars)
            for own in range(shot.frames):
                picture = numpy.zeros((self.size[1], self.size[0], 3), numpy.uint8)
                left = round(own * shot.drift)
                inside = picture[bars : self.size[1] - bars]
                inside[...] = texture[:, left : left + self.size[0]]
                if shot.numbered:
                    _write_number(inside, number, round(235 * shot.light))
                yield picture
                number += 1


def _texture(shot: MadeShot, width: int, height: int) -> Any:
    """Blocks of random colours: uint8 [height, width, 3]."""
    random = numpy.random.default_rng(shot.seed)
    blocks = random.integers(40, 235, (height // 12 + 1, width // 12 + 1, 3))
    picture = numpy.kron(blocks, numpy.ones((12, 12, 1)))[:height, :width]
    return (picture * shot.light).astype("uint8")


def _write_number(picture: Any, number: int, white: int) -> None:
    height, width = picture.shape[:2]
    strip = picture[height * 3 // 4 : height * 7 // 8]
    for bit in range(BITS):
        strip[:, bit * width // BITS : (bit + 1) * width // BITS] = white if number >> bit & 1 else 0


def number_on(picture: Any) -> int:
    """Decode the number from a frame [height, width, 3] with its bars cropped."""
    height, width = picture.shape[:2]
    row = picture[height * 13 // 16 - 1 : height * 13 // 16 + 1].astype(float)
    blocks = [row[:, int((bit + 0.35) * width / BITS) : int((bit + 0.65) * width / BITS)].mean() for bit in range(BITS)]
    middle = max(max(blocks), 40) / 2
    return sum(1 << bit for bit, value in enumerate(blocks) if value > middle)


def clip_frames(path: Path) -> list[tuple[float, Any]]:
    """Times in seconds and RGB frames of a clip, decoded sequentially."""
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
