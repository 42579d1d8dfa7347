"""Whether confidence means what it says: calibration error, accuracy against coverage, thresholds.

Two kinds of bins are always reported, because the error depends on them: ten bins with the same number of cells, and
ten of the same width. The expected calibration error is the mean distance of confidence and accuracy over the bins,
weighted by their cells. A constant confidence can have an error near 0, so it stands beside (`constant`), with the
Brier score, which it cannot have as low. With few cells even a perfect confidence has an error: `sampling_error` is
what to expect of it in the bins with the same number of cells.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, NamedTuple

BINS = 10


class JudgedCell(NamedTuple):
    """One answer: the confidence in it, whether it is right, and the film it is of."""

    confidence: float
    right: bool
    film: str


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Cells of similar confidence."""

    low: float  # lowest and highest confidence in the bin
    high: float
    cells: int
    confidence: float  # mean
    accuracy: float


def reliability(cells: Sequence[JudgedCell]) -> dict[str, Any]:
    """All figures on the confidence of cells as JSON; empty if there are none."""
    if not cells:
        return {}
    certain, other = halves(cells)
    return {
        "cells": len(cells),
        "mean_confidence": fmean(cell.confidence for cell in cells),
        "accuracy": fmean(cell.right for cell in cells),
        **_errors(cells),
        "sampling_error": sampling_error(equal_count_bins(cells)),
        "constant": _errors(constant_confidence(cells)) if len({cell.film for cell in cells}) > 1 else None,
        "certain_half": certain,
        "other_half": other,
        "accuracy_by_coverage": [[part / BINS, accuracy_at(cells, part / BINS)] for part in range(1, BINS + 1)],
        "bins_equal_count": [asdict(one) for one in equal_count_bins(cells)],
        "bins_equal_width": [asdict(one) for one in equal_width_bins(cells)],
    }


def _errors(cells: Sequence[JudgedCell]) -> dict[str, float]:
    return {
        "error_equal_count": calibration_error(equal_count_bins(cells)),
        "error_equal_width": calibration_error(equal_width_bins(cells)),
        "brier": fmean((cell.confidence - cell.right) ** 2 for cell in cells),
    }


def constant_confidence(cells: Sequence[JudgedCell]) -> list[JudgedCell]:
    """The cells of several films with the accuracy of all other films as their confidence."""
    hits, sizes = defaultdict[str, int](int), defaultdict[str, int](int)
    for cell in cells:
        hits[cell.film] += cell.right
        sizes[cell.film] += 1
    right, size = sum(hits.values()), len(cells)
    share = {film: (right - hits[film]) / (size - sizes[film]) for film in sizes}
    return [cell._replace(confidence=share[cell.film]) for cell in cells]


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error, 0 to 1."""
    return math.fsum(one.cells * abs(one.confidence - one.accuracy) for one in bins) / sum(one.cells for one in bins)


def sampling_error(bins: Sequence[ReliabilityBin]) -> float:
    """Calibration error to expect if every cell is right with the probability that is its confidence.

    Accuracy in a bin is then normal around its mean confidence c with variance c(1-c)/n, to which the mean absolute
    deviation of the normal distribution, sqrt(2/pi) standard deviations, is applied.
    """
    deviations = (math.sqrt(2 / math.pi * one.cells * one.confidence * (1 - one.confidence)) for one in bins)
    return math.fsum(deviations) / sum(one.cells for one in bins)


def equal_count_bins(cells: Sequence[JudgedCell]) -> list[ReliabilityBin]:
    """At most `BINS` bins with about the same number of cells; cells of the same confidence share a bin."""
    ordered = sorted(cell.confidence for cell in cells)
    first: dict[float, int] = {}
    for index, confidence in enumerate(ordered):
        first.setdefault(confidence, index)
    return _bins(cells, lambda cell: BINS * first[cell.confidence] // len(cells))


def equal_width_bins(cells: Sequence[JudgedCell]) -> list[ReliabilityBin]:
    """At most `BINS` bins of the same width; empty ones are left out."""
    return _bins(cells, lambda cell: min(int(BINS * cell.confidence), BINS - 1))


def _bins(cells: Sequence[JudgedCell], number: Callable[[JudgedCell], int]) -> list[ReliabilityBin]:
    grouped = defaultdict(list)
    for cell in cells:
        grouped[number(cell)].append(cell)
    return [_bin(grouped[index]) for index in sorted(grouped)]


def _bin(cells: Sequence[JudgedCell]) -> ReliabilityBin:
    confidences = [cell.confidence for cell in cells]
    return ReliabilityBin(
        min(confidences), max(confidences), len(cells), fmean(confidences), fmean(cell.right for cell in cells)
    )


def halves(cells: Sequence[JudgedCell]) -> tuple[float, float]:
    """Accuracy of the more certain half of the cells, and of the other half."""
    certain = accuracy_at(cells, 0.5)
    return certain, 2 * fmean(cell.right for cell in cells) - certain


def accuracy_at(cells: Sequence[JudgedCell], coverage: float) -> float:
    """Accuracy of the most certain share of the cells; of cells with the same confidence, their mean counts."""
    wanted = left = coverage * len(cells)
    right = 0.0
    for hits, size in _by_confidence(cells).values():
        taken = min(size, left)
        right += taken * hits / size
        left -= taken
    return right / wanted


def threshold_for(cells: Sequence[JudgedCell], target: float) -> tuple[float, float] | None:
    """The lowest confidence from which cells reach the target accuracy, and the share of cells that have it.

    One more wrong cell is assumed, so that a few right ones at the top are not enough; None if no confidence suffices.
    """
    found, right, kept = None, 0, 0
    for confidence, (hits, size) in _by_confidence(cells).items():
        right, kept = right + hits, kept + size
        if right >= target * (kept + 1):
            found = confidence, kept / len(cells)
    return found


def _by_confidence(cells: Sequence[JudgedCell]) -> dict[float, tuple[int, int]]:
    """Right cells and all cells of each confidence, highest first."""
    counts: dict[float, tuple[int, int]] = {}
    for cell in sorted(cells, key=lambda cell: -cell.confidence):
        hits, size = counts.get(cell.confidence, (0, 0))
        counts[cell.confidence] = (hits + cell.right, size + 1)
    return counts
