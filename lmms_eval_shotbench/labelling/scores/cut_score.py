"""Detected cuts against true ones: precision, recall and F1 of hard cuts; gradual transitions are counted separately.

A hard cut is found if a shot begins or ends within `tolerance` frames of it. The default of 1 frame covers what tables
differ in without being wrong: whether a cut is the last frame before or the first after it, and times rounded to
hundredths of a second. A dissolve or fade is found if a shot begins or ends within it. Found cuts where the table has
no shots are not scored: nobody looked there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lmms_eval_shotbench.labelling.scores.match_truth import TruthMatch, film_seconds
from lmms_eval_shotbench.labelling.shot import FilmFacts
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow
from lmms_eval_shotbench.labelling.truth import Transition, TruthRow

TOLERANCE = 1  # frames
GRADUAL = (Transition.DISSOLVE, Transition.FADE)


@dataclass(frozen=True, slots=True)
class CutScore:
    """Counts over films; ratios are None where there is nothing to divide by."""

    true: int = 0  # hard cuts in the table
    found: int = 0  # of these
    false: int = 0  # detected where the table has neither cut nor transition
    gradual: int = 0  # dissolves and fades in the table
    gradual_found: int = 0

    def __add__(self, other: CutScore) -> CutScore:
        return CutScore(
            self.true + other.true,
            self.found + other.found,
            self.false + other.false,
            self.gradual + other.gradual,
            self.gradual_found + other.gradual_found,
        )

    def to_row(self, tolerance: int) -> dict[str, float | int | None]:
        """Counts and ratios as JSON."""
        detected = self.found + self.false
        return {
            "tolerance_frames": tolerance,
            "true": self.true,
            "found": self.found,
            "false": self.false,
            "precision": self.found / detected if detected else None,
            "recall": self.found / self.true if self.true else None,
            "f1": 2 * self.found / (self.true + detected) if self.true + detected else None,
            "gradual": self.gradual,
            "gradual_found": self.gradual_found,
            "gradual_recall": self.gradual_found / self.gradual if self.gradual else None,
        }


def score_cuts(match: TruthMatch, tolerance: int = TOLERANCE) -> CutScore:
    """Score the cuts of all films of a match; still files and rows without times have none."""
    total = CutScore()
    for film, rows, truths in match.films:
        timed = sorted((truth for truth in truths if truth.start is not None), key=lambda truth: truth.start or 0.0)
        if timed and film.frame_rate:
            total += _film_cuts(film, rows, timed, (tolerance + 0.5) / float(film.frame_rate))
    return total


def _film_cuts(film: FilmFacts, rows: Sequence[SheetRow], truths: Sequence[TruthRow], near: float) -> CutScore:
    length = film_seconds(film, rows)
    ranges = [_gradual_range(truth, near) for truth in truths if truth.transition in GRADUAL]
    spans = [(truth.start or 0.0, truth.end or 0.0) for truth in truths]
    true = [cut for cut in _cuts(spans, length, near) if not _inside(cut, ranges)]
    shots = [(row.shot.start_seconds or 0.0, row.shot.end_seconds or 0.0) for row in rows]
    detected = _cuts(sorted(shots), length, near)
    hard = [cut for cut in detected if not _inside(cut, ranges)]
    pairs = _pairs(true, hard, near)
    rest = set(range(len(hard))) - {index for _, index in pairs}
    looked_at = [(start - near, end + near) for start, end in spans]
    false = sum(_inside(hard[index], looked_at) for index in rest)
    seen = sum(any(_inside(cut, [one]) for cut in detected) for one in ranges)
    return CutScore(len(true), len(pairs), false, len(ranges), seen)


def _gradual_range(truth: TruthRow, near: float) -> tuple[float, float]:
    start, end = truth.transition_range or (truth.start or 0.0, truth.start or 0.0)
    return start - near, end + near


def _cuts(spans: Sequence[tuple[float, float]], length: float, near: float) -> list[float]:
    """Times at which shots begin, or end with no other beginning there; the start and end of the film are no cuts."""
    starts = sorted({start for start, _ in spans})
    times = list(starts)
    for _, end in spans:
        index = bisect_left(starts, end - near)
        if index == len(starts) or starts[index] > end + near:
            times.append(end)
    return [time for time in sorted(times) if near < time < length - near]


def _inside(time: float, ranges: Iterable[tuple[float, float]]) -> bool:
    return any(start <= time <= end for start, end in ranges)


def _pairs(true: Sequence[float], detected: Sequence[float], near: float) -> list[tuple[int, int]]:
    """Pair times in order, each once; as many as possible, since both are sorted."""
    pairs, following = list[tuple[int, int]](), 0
    for index, time in enumerate(true):
        while following < len(detected) and detected[following] < time - near:
            following += 1
        if following < len(detected) and detected[following] <= time + near:
            pairs.append((index, following))
            following += 1
    return pairs
