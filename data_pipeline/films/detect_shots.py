"""Shot boundary detection: PySceneDetect's detectors or TransNetV2, then a filter of our own.

Owns what a detector is given, the minimum distance of cuts, and which cuts of a scanned range are final. Frames are
converted at their full size to BGR and then scaled down, as PySceneDetect's own pipeline does with its PyAV backend, so
that without our filter (`no_cuts.py`) the cuts are PySceneDetect's. For this reason frames are taken as stored: not
rotated, with their stored pixel shape, not tone-mapped, with their black bars.

A detector is run without a minimum distance and yields candidates, which depend only on the frames around them. So the
filter can remove candidates before the minimum distance is applied, and a flash does not suppress a cut that follows.
The distance rule depends on all cuts before; `FoundCuts.settled` states whether those before the scanned range may
matter. The detectors themselves are in `detectors.py`, decoding in `cut_film.py`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import numpy

from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.detectors import CONTEXT, make_detector
from data_pipeline.films.film_probe import Film
from data_pipeline.films.no_cuts import NoCut, NoCutFilter, reach_of_filter

SCAN_SIDE = 256  # pixels of the longer side, as in PySceneDetect


class Candidate(NamedTuple):
    """A cut before the minimum distance is applied."""

    cut: int  # number of the frame that begins a shot
    time: Any  # `FrameTimecode` by which the distance to other cuts is measured; after a fade, that of its end


class FoundCuts(NamedTuple):
    """Result for a scanned range: numbers of frames that begin a shot, and changes that the filter removed.

    `settled` is False if cuts inside the range can depend on cuts before the scanned frames.
    """

    cuts: list[int]
    removed: list[NoCut]
    settled: bool


class ShotDetector:
    """Processes consecutive frames of a film; `finish` returns the cuts from frame `needed` on."""

    def __init__(self, film: Film, settings: CutSettings, needed: int = 0) -> None:
        from av.video.reformatter import VideoReformatter

        self._film, self._settings, self._needed = film, settings, needed
        self._converter = VideoReformatter()
        self._detector: Any = make_detector(settings)
        self._filter = NoCutFilter(settings)
        self._candidates: list[Candidate] = []
        self._first = self._last = 0
        self._settled, self._finished = 0, False  # number of candidates that `settled_cuts` has decided about
        self._last_cut: int | None = None

    def process_frame(self, number: int, frame: Any) -> None:
        """Process the next frame (`av.VideoFrame`)."""
        import cv2

        if not self._last:
            self._first = number
        self._last = number + 1
        plane = self._converter.reformat(frame, format="bgr24").planes[0]
        shape, strides = (frame.height, frame.width, 3), (plane.line_size, 3, 1)
        picture: Any = numpy.ndarray(shape, numpy.uint8, plane, strides=strides)  # not copied, as most are only scaled
        scale = max(frame.width, frame.height) / SCAN_SIDE
        if scale > 1:
            size = max(1, round(frame.width / scale)), max(1, round(frame.height / scale))
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        self._filter.add_frame(number, picture)
        time = self._time(number)
        self._add_candidates(self._detector.process_frame(time, picture), time)

    def finish(self) -> FoundCuts:
        """Return the cuts, after the last frame."""
        end = self._time(self._last - 1)
        self._add_candidates(self._detector.post_process(end), end)
        self._finished, removed = True, self._filter.finish()
        kept = [candidate for candidate in self._candidates if candidate.cut not in removed]
        known = self._first + (_reach(self._settings) if self._first else 0)
        kept = [candidate for candidate in kept if candidate.cut >= known]
        settled = self._first == 0 or (not self._filter.depends_on_earlier and self._is_settled(kept, known))
        cuts = self._merged(kept) if self._settings.detector == "content" else self._spaced(kept, known)
        changes = sorted({change for cut, change in removed.items() if cut >= self._needed})
        return FoundCuts([cut for cut in cuts if cut >= self._needed], changes, settled)

    @property
    def removed(self) -> list[NoCut]:
        """The changes so far that are no cuts, in order."""
        return sorted(set(self._filter.removed.values()))

    def settled_cuts(self) -> list[int]:
        """Return cuts that no later frame changes, each once; the first processed frame counts as a cut.

        After frame n, they are the cuts up to frame n - `detector_margins(settings).after`; after `finish`, all.
        Detectors without margins settle nothing before.
        """
        newest = self._last if self._finished else self._last - 1 - _reach(self._settings)
        ready = list(takewhile(lambda candidate: candidate.cut <= newest, self._candidates[self._settled :]))
        if not ready:
            return []
        self._settled += len(ready)
        kept = [candidate for candidate in ready if candidate.cut not in self._filter.removed]
        cuts = self._spaced(kept, self._first if self._last_cut is None else self._last_cut)
        self._last_cut = cuts[-1] if cuts else self._last_cut
        return cuts

    def _add_candidates(self, cuts: Sequence[Any], time: Any) -> None:
        for cut in cuts:
            number = self._number(cut)
            decided = time if self._settings.detector == "threshold" else cut
            self._candidates.append(Candidate(number, decided))
            self._filter.add_candidate(number)

    def _time(self, number: int) -> Any:
        """The time of a frame as PySceneDetect's backend gives it: exact, with frame numbers at the nominal rate."""
        from scenedetect.common import FrameTimecode, Timecode  # type: ignore[import-untyped]

        film = self._film
        return FrameTimecode(Timecode(film.times[number] - film.times[0], film.tick), film.nominal_rate)

    def _number(self, cut: Any) -> int:
        """The number of the frame at a detector's `FrameTimecode`, which may be a mere frame number at the rate."""
        if cut.time_base == self._film.tick:
            return bisect_left(self._film.times, cut.pts + self._film.times[0])
        return bisect_left(range(self._film.frames), cut.frame_num, key=lambda number: self._time(number).frame_num)

    def _spaced(self, candidates: Sequence[Candidate], known: int) -> list[int]:
        """Cuts at least the minimum distance after the cut before; the first frame counts as a cut."""
        cuts, last = [], self._time(known)
        for cut, time in candidates:
            if time - last >= self._settings.cut_distance_frames:
                cuts.append(cut)
                last = time
        return cuts

    def _merged(self, candidates: Sequence[Candidate]) -> list[int]:
        """Cuts as PySceneDetect's ContentDetector merges close ones: at the last of them."""
        from scenedetect.detector import FlashFilter  # type: ignore[import-untyped]

        merging = FlashFilter(FlashFilter.Mode.MERGE, self._settings.cut_distance_frames)
        changed = {candidate.cut for candidate in candidates}
        times = ((self._time(number), number in changed) for number in range(self._first, self._last))
        return [self._number(cut) for time, above in times for cut in merging.filter(time, above)]

    def _is_settled(self, candidates: Sequence[Candidate], known: int) -> bool:
        """Whether no cut from `needed` on depends on cuts before frame `known`.

        Past a stretch of the minimum distance without a candidate, earlier cuts no longer matter.
        """
        before = self._time(known)
        for cut, time in candidates:
            if time - before >= self._settings.cut_distance_frames:
                return True
            if cut >= self._needed:
                return False
            before = time
        return True


class Margins(NamedTuple):
    """Numbers of frames to scan before and after a range."""

    before: int
    after: int


def detector_margins(settings: CutSettings) -> Margins | None:
    """Number of frames around a range that cuts inside it depend on; None: the complete film must be scanned."""
    if settings.detector not in CONTEXT:
        return None
    return Margins(_reach(settings) + settings.cut_distance_frames, _reach(settings))


def _reach(settings: CutSettings) -> int:
    """Number of frames before and after a candidate on which it depends."""
    return CONTEXT.get(settings.detector, 0) + reach_of_filter(settings)


class ShotRange(NamedTuple):
    """Frames first to last - 1; `cut` is the first cut inside, or None if all are of one shot."""

    first: int
    last: int
    cut: int | None = None


def trim_to_shot(first: int, last: int, cuts: Sequence[int], trim: int) -> ShotRange:
    """Trim a range at cuts at most `trim` frames from its ends; a remaining cut is reported in `cut`."""
    inside = [cut for cut in cuts if first < cut < last]
    if inside and inside[0] - first <= trim:
        first = inside.pop(0)
    if inside and last - inside[-1] <= trim:
        last = inside.pop()
    return ShotRange(first, last, inside[0] if inside else None)


def shot_containing(number: int, cuts: Sequence[int], frames: int) -> ShotRange:
    """The shot that contains a frame."""
    first = max((cut for cut in cuts if cut <= number), default=0)
    return ShotRange(first, min((cut for cut in cuts if cut > number), default=frames))
