"""Black bars around a film's picture: found over many frames, never guessed from a dark scene.

Owns what a bar is. A bar is black in every frame seen; it ends in a straight edge, beyond which the picture was lit
along most of its length; and its opposite is as broad. A night sky has no such edge, a subtitle in the bar forbids the
crop, and so does a picture that fills the frame in one shot of the stretch. Pictures are looked at as they are stored.

Of a frame no more is kept than what its rows and columns show, some kilobytes, so that any stretch of a film can be
judged afterwards, when its shots are known.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy

BLACK = 24  # of 255; what compression makes of black at the edge of a picture stays below
LIT = 0.6  # share of an edge's length beyond which something is seen
ALL_LIT = 255
EDGE = 4  # rows beyond a bar that are looked at, and by which opposite bars may differ at least
UNEVEN = 0.02  # of the height: how much two opposite bars may differ
SMALLEST_PICTURE = 0.4  # of the height or width; a smaller rest is no film, but a title or a telephone in a frame
ENOUGH_FRAMES = 5  # before a stretch is trusted to show its own bars
NOTABLY = 0.02  # of the height or width: how much smaller a shot's own picture must be to count


class Crop(NamedTuple):
    """The part of the stored picture that is kept; even, as H.264 wants it."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def whole(cls, width: int, height: int) -> Crop:
        """All of it but an odd last row or column."""
        return cls(0, 0, width // 2 * 2, height // 2 * 2)


class Lines(NamedTuple):
    """What the rows of a picture show, or its columns: the brightest pixel of each, and the share that is not black."""

    brightest: numpy.ndarray
    lit: numpy.ndarray  # ALL_LIT times the share; a long film has many of these


class Outline(NamedTuple):
    """What is kept of a frame, or of several: the brightest they ever were."""

    frames: int
    rows: Lines
    columns: Lines

    def is_black_outside(self, crop: Crop) -> bool:
        """Whether nothing that was seen is lost by a crop."""
        pairs = ((self.rows, crop.top, crop.height), (self.columns, crop.left, crop.width))
        beyond = [
            part
            for lines, first, length in pairs
            for part in (lines.brightest[: max(first - EDGE, 0)], lines.brightest[first + length + EDGE :])
        ]
        return all((part <= BLACK).all() for part in beyond)

    def picture(self) -> Crop | None:
        """The picture between the bars; None where there are none or it is not sure."""
        top, bottom = _between_bars(self.rows, 1.0)
        height, width = len(self.rows.brightest), len(self.columns.brightest)
        left, right = _between_bars(self.columns, (bottom - top) / height)
        if (top, bottom, left, right) == (0, height, 0, width):
            return None
        return _even(left, top, right, bottom)


def outline(picture: numpy.ndarray) -> Outline:
    """What is kept of a picture of luma, 0 black to 255 white."""
    import numpy

    lit = picture > BLACK
    lines = [Lines(picture.max(axis=axis), (ALL_LIT * lit.mean(axis=axis)).astype(numpy.uint8)) for axis in (1, 0)]
    return Outline(1, *lines)


def together(outlines: Iterable[Outline]) -> Outline | None:
    """Several frames as one; None of none."""
    import numpy

    whole: Outline | None = None
    for one in outlines:
        if whole is None:
            whole = one
            continue
        pairs = ((whole.rows, one.rows), (whole.columns, one.columns))
        lines = [Lines(*(numpy.maximum(a, b) for a, b in zip(*pair, strict=True))) for pair in pairs]
        whole = Outline(whole.frames + one.frames, *lines)
    return whole


def choose_crop(shot: Outline | None, film: Outline | None, width: int, height: int) -> Crop:
    """The crop of a shot: the film's, where the shot agrees; its own, where that is notably smaller and well seen."""
    of_film = film.picture() if film else None
    crop = of_film if of_film and (shot is None or shot.is_black_outside(of_film)) else Crop.whole(width, height)
    own = shot.picture() if shot and shot.frames >= ENOUGH_FRAMES else None
    if own and (crop.width - own.width > NOTABLY * width or crop.height - own.height > NOTABLY * height):
        return own
    return crop


def grey(frame: Any, longest_side: int = 0) -> numpy.ndarray:
    """The luma of a frame of PyAV, 0 black to 255 white; `longest_side` scales it down."""
    scale = min(1.0, longest_side / max(frame.width, frame.height)) if longest_side else 1.0
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    small = frame.reformat(width, height, "gray", src_color_range=frame.color_range, interpolation="AREA")
    picture: numpy.ndarray = small.to_ndarray()
    return picture


def _between_bars(lines: Lines, whole: float) -> tuple[int, int]:
    """First row of the picture and the row after its last, or all; `whole` is the share of a row that can be lit."""
    height = len(lines.brightest)
    seen = lines.brightest > BLACK
    if not seen.any():
        return 0, height
    first, last = int(seen.argmax()), height - int(seen[::-1].argmax())
    bars = (first, height - last)
    if (
        max(bars) == 0
        or abs(bars[0] - bars[1]) > max(EDGE, UNEVEN * height)
        or last - first < SMALLEST_PICTURE * height
    ):
        return 0, height
    edges = (lines.lit[first : first + EDGE], lines.lit[last - EDGE : last])
    return (first, last) if all(edge.max() >= LIT * whole * ALL_LIT for edge in edges) else (0, height)


def _even(left: int, top: int, right: int, bottom: int) -> Crop:
    """Rounded inwards: a dark line at the edge is worse than a lost row."""
    left, top = left + left % 2, top + top % 2
    return Crop(left, top, (right - left) // 2 * 2, (bottom - top) // 2 * 2)
