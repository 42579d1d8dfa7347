"""Changes that a detector takes for cuts and that are none: flashes, and the first glimmer of a fade-in.

Owns both definitions. A flash is a run of fewer than `flash_frames` frames with the same picture on both sides and
another one inside: lightning, a photographer's flash, a white or black frame. Pictures are the same if they differ no
more than the frames before and after differ among themselves over as many frames, so that a moving camera is allowed
for; both are compared at the best of a few shifts. A film that fades in has no shot before: a change from its black
beginning to a picture that is still black is no cut, but noise in hue and saturation, which detectors count as change.
Black between two shots stays a cut. If `flash_frames` is 0, nothing is removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.letterbox import BLACK

if TYPE_CHECKING:
    import numpy

SIDE = 64  # pixels of the longer side; coarse, so that small movements do not count
COMPARED = 0.75  # share of the pixels that are compared; people may move in the others
SHIFT = 8  # pictures are shifted by up to one in so many of their rows and columns
MOTION, NOISE = 1.5, 4.0  # maximum difference of the two sides: this factor of that of their motion, plus noise of 255
CONTRAST, VISIBLE = 2.0, 12.0  # minimum difference of the flash from both sides: factor of theirs, and of 255
LATE = 256  # maximum number of frames after a cut at which it is reported; TransNetV2 needs up to 125
BLANK = 6.0  # maximum standard deviation of a picture of a single colour, of 255
BRIGHTEST = 99  # percentile of luma that is not above `BLACK` in a black picture
COLOUR_DETECTORS = ("adaptive", "content", "histogram")  # the others place the cut of a fade within black


class NoCut(NamedTuple):
    """A change that is no cut: the frames first to last - 1 of a flash, or the first changed frame of a fade-in."""

    first: int
    last: int
    is_flash: bool


class NoCutFilter:
    """Keeps small pictures of the last frames, and judges every candidate as soon as the frames after it are known."""

    def __init__(self, settings: CutSettings) -> None:
        self._settings = settings
        self._pictures: dict[int, numpy.ndarray] = {}
        self._differences: dict[tuple[int, int], float] = {}
        self._waiting: list[int] = []
        self._removed: dict[int, NoCut] = {}
        self._cuts: set[int] = set()
        self._black: range | None = None  # the black frames with which the scanned frames begin
        self.depends_on_earlier = False  # whether frames before the scanned ones decide about a candidate

    def add_frame(self, number: int, picture: numpy.ndarray) -> None:
        """Take the next frame: uint8 BGR [height, width, 3]."""
        import cv2

        height, width = picture.shape[:2]
        scale = max(1.0, max(width, height) / SIDE)
        size = max(1, round(width / scale)), max(1, round(height / scale))
        self._pictures[number] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        if self._black is None:
            self._black = range(number, number)
        if number == self._black.stop and _is_black(self._pictures[number]):
            self._black = range(self._black.start, number + 1)
        self._pictures.pop(number - LATE - 2 * reach_of_filter(self._settings), None)
        self._judge(number)

    def add_candidate(self, cut: int) -> None:
        """Take a candidate, whose frame was added before."""
        self._waiting.append(cut)

    @property
    def removed(self) -> Mapping[int, NoCut]:
        """The candidates judged so far that are no cuts, each with what it is."""
        return self._removed

    def finish(self) -> Mapping[int, NoCut]:
        """Judge the remaining candidates, after the last frame; returns `removed`."""
        self._judge(None)
        return self._removed

    def _judge(self, newest: int | None) -> None:
        reach = reach_of_filter(self._settings)
        ready = [cut for cut in self._waiting if newest is None or newest >= cut + reach]
        for cut in ready:
            self._waiting.remove(cut)
            if change := self._flash_at(cut) or self._end_of_blank_at(cut) or self._fade_in_at(cut):
                self._removed[cut] = change
            else:
                self._cuts.add(cut)

    def _flash_at(self, cut: int) -> NoCut | None:
        """The shortest flash that begins, ends or lies at a candidate, or None."""
        for gap in range(2, self._settings.flash_frames + 1):
            for before in range(cut - 1, cut - gap - 1, -1):
                if self._is_flash(before, before + gap):
                    return NoCut(before + 1, before + gap, is_flash=True)
        return None

    def _is_flash(self, before: int, after: int) -> bool:
        pictures, gap = self._pictures, after - before
        if before not in pictures or after not in pictures:
            return False
        sides = self._difference(before, after)
        around = [(before - gap, before), (after, after + gap)]
        motion = [self._difference(one, other) for one, other in around if {one, other} <= pictures.keys()]
        if not motion or sides > MOTION * sum(motion) / len(motion) + NOISE:
            return False
        least = max(CONTRAST * sides, VISIBLE)
        return all(
            any(self._difference(*sorted((side, number))) >= least for number in range(before + 1, after))
            for side in (before, after)
        )

    def _difference(self, one: int, other: int) -> float:
        if len(self._differences) > 100 * LATE:
            self._differences.clear()
        if (one, other) not in self._differences:
            self._differences[one, other] = picture_difference(self._pictures[one], self._pictures[other])
        return self._differences[one, other]

    def _end_of_blank_at(self, cut: int) -> NoCut | None:
        """The flash between two shots that ends at a candidate: its beginning is a cut, so this is none."""
        for first in range(cut - 1, cut - self._settings.flash_frames, -1):
            if first not in self._pictures or not _is_blank(self._pictures[first]):
                return None
            if first in self._cuts:
                return NoCut(first, cut, is_flash=True)
        return None

    def _fade_in_at(self, cut: int) -> NoCut | None:
        """The fade-in at the beginning of the film of which a candidate is the first glimmer, or None."""
        if not self._settings.flash_frames or self._settings.detector not in COLOUR_DETECTORS:
            return None
        if self._black is None or cut not in self._black:
            return None
        self.depends_on_earlier |= self._black.start > 0
        return NoCut(cut, cut + 1, is_flash=False) if self._black.start == 0 else None


def reach_of_filter(settings: CutSettings) -> int:
    """Number of frames before and after a candidate that are compared."""
    return 2 * settings.flash_frames


def picture_difference(one: numpy.ndarray, other: numpy.ndarray) -> float:
    """Mean difference of two pictures (0 to 255) at the best of a few shifts, without the pixels that differ most."""
    import cv2
    import numpy

    height, width = one.shape[:2]
    rows, columns = height // SHIFT, width // SHIFT
    inner = one[rows : height - rows, columns : width - columns]
    _, _, (left, top), _ = cv2.minMaxLoc(cv2.matchTemplate(other, inner, cv2.TM_SQDIFF))
    moved = other[top : top + inner.shape[0], left : left + inner.shape[1]]
    differences = numpy.sort(cv2.absdiff(inner, moved).mean(axis=-1), axis=None)
    return float(differences[: round(len(differences) * COMPARED)].mean())


def _is_blank(picture: numpy.ndarray) -> bool:
    return bool(picture.std(axis=(0, 1)).max() <= BLANK)


def _is_black(picture: numpy.ndarray) -> bool:
    import cv2
    import numpy

    return bool(numpy.percentile(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), BRIGHTEST) <= BLACK)
