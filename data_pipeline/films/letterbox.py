"""Detection of black bars (letterbox, pillarbox) over many frames, so that a dark scene is not mistaken for bars.

Owns the definition of a bar: it is black in every scanned frame; it ends in a straight edge, and most pixels next to
that edge are not black; and the opposite bar has about the same width. A night sky has no such edge; a subtitle inside
the bar, or a single scanned frame without bars, prevents the crop. Frames are examined as stored, before rotation.

Only per-row and per-column statistics of a frame are kept, a few kilobytes, so that any frame range can be evaluated
later, when the shots are known.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy

BLACK = 24  # luma of 255; black at the edge of a picture stays below this after compression
LIT = 0.6  # minimum share of the pixels along the edge of a bar that are not black
ALL_LIT = 255  # value of `Lines.lit` for a share of 1
EDGE = 4  # rows next to a bar that are examined; also the minimum tolerance for the widths of opposite bars
UNEVEN = 0.02  # of the height or width: maximum difference between the widths of opposite bars
SMALLEST_PICTURE = 0.4  # of the height or width; a smaller picture is a title or a phone video in a frame
ENOUGH_FRAMES = 5  # minimum number of scanned frames for which bars of a single shot are trusted
NOTABLY = 0.02  # of the height or width: minimum by which a shot's own crop must be smaller to replace the film's


class Crop(NamedTuple):
    """The part of a stored picture that is kept, in pixels; all values are even, for 4:2:0 chroma subsampling."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def full_frame(cls, width: int, height: int) -> Crop:
        """The full frame except for an odd last row or column."""
        return cls(0, 0, width // 2 * 2, height // 2 * 2)


class Lines(NamedTuple):
    """Statistics of each row, or each column, of a picture: maximum luma, and the share of pixels that are not black.

    Both are arrays of shape [rows] or [columns], uint8 to save memory: a long film has many of them.
    """

    brightest: numpy.ndarray
    lit: numpy.ndarray  # ALL_LIT times the share


class Outline(NamedTuple):
    """Row and column statistics of a frame, or the maximum over several frames."""

    frames: int
    rows: Lines
    columns: Lines

    def is_black_outside(self, crop: Crop) -> bool:
        """Return whether everything outside a crop is black, except for `EDGE` rows and columns next to it."""
        pairs = ((self.rows, crop.top, crop.height), (self.columns, crop.left, crop.width))
        beyond = [
            part
            for lines, first, length in pairs
            for part in (lines.brightest[: max(first - EDGE, 0)], lines.brightest[first + length + EDGE :])
        ]
        return all((part <= BLACK).all() for part in beyond)

    @property
    def reaches_all_edges(self) -> bool:
        """Whether the picture is lit at all four edges; then merging others into this outline changes no crop."""
        ends = (lines.brightest[end] > BLACK for lines in (self.rows, self.columns) for end in (0, -1))
        return all(map(bool, ends))

    def picture(self) -> Crop | None:
        """The crop between the bars, or None if there are none or detection is uncertain."""
        top, bottom = _between_bars(self.rows, 1.0)
        height, width = len(self.rows.brightest), len(self.columns.brightest)
        left, right = _between_bars(self.columns, (bottom - top) / height)
        if (top, bottom, left, right) == (0, height, 0, width):
            return None
        return _even(left, top, right, bottom)


def outline(picture: numpy.ndarray) -> Outline:
    """Return the outline of one luma picture: uint8 [height, width], from 0 (black) to 255 (white)."""
    import numpy

    lit, lines = picture > BLACK, []
    for axis in (1, 0):
        share = numpy.count_nonzero(lit, axis=axis) / picture.shape[axis]
        lines.append(Lines(picture.max(axis=axis), (ALL_LIT * share).astype(numpy.uint8)))
    return Outline(1, *lines)


def merge_outlines(outlines: Iterable[Outline]) -> Outline | None:
    """Element-wise maximum of the outlines, or None if there are none."""
    import numpy

    merged: Outline | None = None
    for one in outlines:
        if merged is None:
            merged = one
            continue
        pairs = ((merged.rows, one.rows), (merged.columns, one.columns))
        lines = [Lines(*(numpy.maximum(a, b) for a, b in zip(*pair, strict=True))) for pair in pairs]
        merged = Outline(merged.frames + one.frames, *lines)
    return merged


def outline_of_beginning(frames: Iterable[Any]) -> Outline | None:
    """Merged outline of the first frames of a shot (`av.VideoFrame`), as far as they matter for its crop."""
    merged: Outline | None = None
    for frame in frames:
        own = outline(luma(frame))
        merged = merge_outlines([merged, own]) if merged else own
        if own.reaches_all_edges:
            break
    return merged


def choose_crop(shot: Outline | None, film: Outline | None, width: int, height: int) -> Crop:
    """Return the crop of a shot: the film's crop if the shot is black outside it, else the full frame.

    The shot's own crop is used instead if it is smaller by `NOTABLY` and based on `ENOUGH_FRAMES`.
    """
    film_crop = film.picture() if film else None
    fits = film_crop and (shot is None or shot.is_black_outside(film_crop))
    crop = film_crop if film_crop and fits else Crop.full_frame(width, height)
    own = shot.picture() if shot and shot.frames >= ENOUGH_FRAMES else None
    if own and (crop.width - own.width > NOTABLY * width or crop.height - own.height > NOTABLY * height):
        return own
    return crop


def luma(frame: Any, longest_side: int = 0, scaler: Any = None) -> numpy.ndarray:
    """Return the full-range luma of an `av.VideoFrame`: uint8 [height, width], from 0 (black) to 255 (white).

    Args:
        longest_side: A frame whose longer side exceeds this number of pixels is scaled down; 0 keeps the size.
        scaler: An `av.video.reformatter.VideoReformatter` that is used for all frames of one size, which is faster.
    """
    scale = min(1.0, longest_side / max(frame.width, frame.height)) if longest_side else 1.0
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    settings = {"src_color_range": frame.color_range, "interpolation": "AREA"}
    if scaler:
        small = scaler.reformat(frame, width, height, "gray", **settings)
    else:
        small = frame.reformat(width, height, "gray", **settings)
    picture: numpy.ndarray = small.to_ndarray()
    return picture


def _between_bars(lines: Lines, lit_limit: float) -> tuple[int, int]:
    """First row between the bars and the row after the last; all rows if there are no bars.

    `lit_limit` is the largest possible share of pixels that are not black: below 1 if the other two sides have bars.
    """
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
    return (first, last) if all(edge.max() >= LIT * lit_limit * ALL_LIT for edge in edges) else (0, height)


def _even(left: int, top: int, right: int, bottom: int) -> Crop:
    """Crop with even numbers, rounded inwards: a dark line at the edge is worse than a lost row."""
    left, top = left + left % 2, top + top % 2
    return Crop(left, top, (right - left) // 2 * 2, (bottom - top) // 2 * 2)
