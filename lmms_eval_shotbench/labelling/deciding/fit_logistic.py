"""Logistic regression with as many parameters as the films can support.

Candidates from a constant to all features are compared by cross-validation over groups (films): of those whose log loss
is no worse than the best one's by more than a standard error, the one with the fewest parameters is fitted. Log loss,
not calibration error, chooses: a constant is well calibrated and useless. scikit-learn and NumPy are imported late.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lmms_eval_shotbench.labelling.deciding.calibration import Logistic

if TYPE_CHECKING:
    import numpy as np

MIN_EVENTS = 5  # of hits and of misses, per candidate with weights
FOLDS = 5
STRENGTH = 0.1  # inverse of the L2 penalty on standardized weights; with 1, a few hundred cells give overconfident fits
Features = Mapping[str, float]


def group_folds(groups: Sequence[str], folds: int = FOLDS) -> list[tuple[list[int], list[int]]]:
    """Split positions into training and test parts such that no group is in both; none if there is one group only.

    The split does not depend on the order of the positions.
    """
    sizes: dict[str, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    count = min(folds, len(sizes))
    if count < 2:
        return []
    loads, fold_of = [0] * count, {}
    for group in sorted(sizes, key=lambda group: (-sizes[group], group)):  # the largest first, to the smallest fold
        fold_of[group] = loads.index(min(loads))
        loads[fold_of[group]] += sizes[group]
    return [
        (
            [index for index, group in enumerate(groups) if fold_of[group] != fold],
            [index for index, group in enumerate(groups) if fold_of[group] == fold],
        )
        for fold in range(count)
    ]


def fit_logistic(
    rows: Sequence[Features], hits: Sequence[bool], groups: Sequence[str], ladder: Sequence[Sequence[str]]
) -> Logistic:
    """Fit the probability of a hit.

    Args:
        rows: Features by name; a missing one is 0.
        hits: Whether the event happened, one per row.
        groups: Films, one per row.
        ladder: Names of the features of each candidate, from few to many; a constant is always one.

    Returns:
        The regression of the simplest candidate that predicts other films about as well as the best.
    """
    constant = Logistic.constant(sum(hits), len(hits))
    folds = group_folds(groups)
    if min(sum(hits), len(hits) - sum(hits)) < MIN_EVENTS or not folds:
        return constant
    losses = [_losses(rows, hits, folds, names) for names in ((), *ladder)]
    return _fit(rows, hits, ((), *ladder)[simplest_of_the_best(losses, groups)])


def simplest_of_the_best(losses: Sequence[Sequence[float]], groups: Sequence[str]) -> int:
    """Index of the first candidate, from simple to complex, whose mean loss is within a standard error of the best."""
    best = min(losses, key=math.fsum)
    return next(number for number, loss in enumerate(losses) if _mean_excess(loss, best, groups) <= 0)


def _losses(
    rows: Sequence[Features], hits: Sequence[bool], folds: Sequence[tuple[list[int], list[int]]], names: Sequence[str]
) -> list[float]:
    """Log loss of every row, predicted from other groups."""
    losses = [0.0] * len(rows)
    for train, test in folds:
        fitted = _fit([rows[index] for index in train], [hits[index] for index in train], names)
        for index in test:
            share = fitted.probability(rows[index])
            losses[index] = -math.log(max(share if hits[index] else 1 - share, 1e-6))
    return losses


def _mean_excess(loss: Sequence[float], best: Sequence[float], groups: Sequence[str]) -> float:
    """Mean excess over the best loss, less its standard error over groups."""
    excess = [one - other for one, other in zip(loss, best, strict=True)]
    mean = math.fsum(excess) / len(excess)
    sums: dict[str, list[float]] = {}
    for group, one in zip(groups, excess, strict=True):
        sums.setdefault(group, []).append(one - mean)
    stderr = math.sqrt(math.fsum(math.fsum(group) ** 2 for group in sums.values())) / len(excess)
    return mean - stderr


def _fit(rows: Sequence[Features], hits: Sequence[bool], names: Sequence[str]) -> Logistic:
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    right = sum(hits)
    if not names or right in (0, len(hits)):
        return Logistic.constant(right, len(hits))
    matrix = np.array([[row.get(name, 0.0) for name in names] for row in rows])
    centre, scale = _standard(matrix, names)
    fitted = LogisticRegression(C=STRENGTH, max_iter=1000).fit((matrix - centre) / scale, np.array(hits))
    weights = fitted.coef_[0] / scale
    intercept = float(fitted.intercept_[0] - (weights * centre).sum())
    return Logistic(intercept, {name: float(weight) for name, weight in zip(names, weights, strict=True)})


def _standard(matrix: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations; indicators (`is TERM`) stay 0 or 1, so that the penalty draws rare terms to the others."""
    import numpy as np

    indicator = np.array([name.startswith("is ") for name in names])
    deviation = matrix.std(axis=0)
    return (
        np.where(indicator, 0.0, matrix.mean(axis=0)),
        np.where(indicator | (deviation == 0), 1.0, deviation),
    )
