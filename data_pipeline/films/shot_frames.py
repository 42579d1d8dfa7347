"""Read a film in one decode, and state of every frame whether it begins a shot.

Owns the buffer in which frames wait until that is settled. The detectors `adaptive` and `histogram` look a few frames
ahead (`detector_margins`): each frame goes to the detector as it is decoded and waits for as many frames, so that a
film is decoded once. The others depend on the complete film, which is then decoded twice: once for the cuts, once here.
If the shots are given, no detector runs. Frames are deinterlaced; the detector gets them as stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.deinterlace import ProgressiveFrame, read_progressive_frames
from data_pipeline.films.detect_shots import FoundCuts, ShotDetector, detector_margins
from data_pipeline.films.film_probe import BrokenFilm, Film, read_frames
from data_pipeline.films.no_cuts import NoCut

FEWEST_AHEAD = 12  # frames that wait at least, from which the black bars of a shot are estimated when it begins
Decoded = Callable[[], object]  # called after each decoded frame


class WaitingFrame(NamedTuple):
    """The next frame, whether a cut is before it, and the frames after it that are decoded."""

    frame: ProgressiveFrame
    is_cut: bool
    following: Sequence[ProgressiveFrame]


class CutFinder:
    """Finds the cuts of a film while it is decoded from frame `first` on.

    Args:
        needed: Number of the first frame whose cuts are in `found`.
        known_ahead: Number of frames after a frame whose cuts are certain with it.
        observe: Called with each frame that is taken, as stored.
    """

    def __init__(
        self,
        film: Film,
        settings: CutSettings,
        first: int,
        needed: int = 0,
        known_ahead: int = 0,
        observe: Callable[[int, Any], object] = lambda number, frame: None,
    ) -> None:
        self._detector, self._first, self._next = ShotDetector(film, settings, needed), first, first
        self._observe = observe
        self._cuts: set[int] = set()
        margins = detector_margins(settings)
        self.ahead = max(FEWEST_AHEAD, known_ahead + (margins.after if margins else 0))
        self.found = FoundCuts([], [], True)  # after `finish`

    @property
    def removed(self) -> list[NoCut]:
        """Changes so far that are no cuts."""
        return self._detector.removed

    def observe(self, number: int, frame: Any) -> None:
        """Take a decoded frame (`av.VideoFrame`) as stored; a frame that was taken before is ignored."""
        if number == self._next:
            self._next += 1
            self._observe(number, frame)
            self._detector.process_frame(number, frame)
            self._cuts.update(self._detector.settled_cuts())

    def finish(self) -> None:
        """Settle the last frames."""
        if self._next > self._first:
            self.found = self._detector.finish()
            self._cuts.update(self._detector.settled_cuts())

    def is_cut(self, number: int) -> bool:
        """Whether a cut is before a frame; certain once `ahead` frames after it were taken, or after `finish`."""
        return number in self._cuts


class KnownCuts:
    """Cuts that are known before the film is decoded, with the interface of `CutFinder`."""

    ahead = FEWEST_AHEAD

    def __init__(self, cuts: Sequence[int], removed: Sequence[NoCut] = ()) -> None:
        self._cuts, self.removed = frozenset(cuts), list(removed)

    def observe(self, number: int, frame: Any) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""

    def is_cut(self, number: int) -> bool:
        """Whether a cut is before a frame."""
        return number in self._cuts


def cuts_of_film(film: Film, settings: CutSettings, decoded: Decoded) -> KnownCuts:
    """Decode a complete film for its cuts; those after a frame that cannot be decoded are missing."""
    detector, count = ShotDetector(film, settings), 0
    with suppress(BrokenFilm):  # reported when the shots are cut
        for number, frame in read_frames(film, 0, film.frames):
            detector.process_frame(number, frame)
            decoded()
            count += 1
    return KnownCuts(detector.finish().cuts, detector.removed) if count else KnownCuts(())


def read_shot_frames(
    film: Film, cuts: CutFinder | KnownCuts, first: int, last: int, decoded: Decoded
) -> Iterator[WaitingFrame]:
    """Yield frames first to last - 1 in order.

    Raises:
        BrokenFilm: a frame cannot be decoded; raised after the frames before it were yielded.
    """
    waiting: deque[ProgressiveFrame] = deque()
    broken: BrokenFilm | None = None
    try:
        for frame in read_progressive_frames(film, first, last, cuts.observe):
            decoded()
            waiting.append(frame)
            if len(waiting) > cuts.ahead:
                yield _next_of(waiting, cuts)
    except BrokenFilm as error:
        broken = error
    cuts.finish()
    while waiting:
        yield _next_of(waiting, cuts)
    if broken:
        raise broken


def _next_of(waiting: deque[ProgressiveFrame], cuts: CutFinder | KnownCuts) -> WaitingFrame:
    frame = waiting.popleft()
    return WaitingFrame(frame, cuts.is_cut(frame.number), waiting)
