"""Accuracy per dimension, over items and over dimensions, each with a confidence interval.

Both averages are always reported: *micro* is the mean over items, as in the reference's scorer; *macro* is the mean
over dimensions, as in the paper's baseline rows. Undecided responses count as wrong in both.

Confidence intervals are 95 % and clustered by medium, because questions about the same medium are not independent: the
standard error is the cluster-robust one of a weighted mean (residuals summed within a medium, G/(G-1) correction), and
the interval is Wilson's at the effective sample size n = p(1-p)/se², so it stays within 0..1 and has a positive width
even at 0 and 1.

Several samples of one question are several graded responses on one medium: they share a cluster, so the interval is
that of the questions' shares of correct samples and does not shrink as if K samples were K questions.

Pure functions; standard library only.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from lmms_eval_shotbench.grading.grade import Grade
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import DIMENSIONS

Z95 = 1.959963984540054  # standard normal quantile of 0.975


@dataclass(frozen=True, slots=True)
class Graded:
    """One item with the grade of its response, or of one of its responses."""

    item: QAItem
    grade: Grade
    sample: int = 1  # number of the response, of several to the same item


@dataclass(frozen=True, slots=True)
class Estimate:
    """A proportion of items with its 95 % confidence interval; `stderr` is clustered by medium."""

    value: float
    low: float
    high: float
    stderr: float
    n: int  # number of items; several samples of an item are one


@dataclass(frozen=True)
class Scores:
    """All metrics of one run under one protocol; with several samples of each item, over all of them."""

    micro: Estimate
    macro: Estimate
    by_dimension: dict[str, Estimate]
    correct: int  # number of correct responses
    n: int  # number of items
    answered_rate: float  # share of decided responses, right or wrong
    compound: Estimate | None  # accuracy on items whose correct answer has several terms; None: no such items
    compound_term_f1: float | None
    well_formed_rate: float  # share of responses in the <think><answer> format


def score(graded: Sequence[Graded]) -> Scores:
    """Compute all metrics; raises `ValueError` if there are no items."""
    if not graded:
        raise ValueError("no items to score")
    groups = defaultdict(list)
    for entry in graded:
        groups[entry.item.dimension].append(entry)
    by_dimension = {d.slug: accuracy(groups[d.slug]) for d in DIMENSIONS if d.slug in groups}
    compound = [entry for entry in graded if is_compound(entry.item)]
    return Scores(
        micro=accuracy(graded),
        macro=macro_accuracy(graded),
        by_dimension=by_dimension,
        correct=sum(entry.grade.correct for entry in graded),
        n=n_items(graded),
        answered_rate=fmean(entry.grade.letter is not None for entry in graded),
        compound=accuracy(compound) if compound else None,
        compound_term_f1=fmean(term_f1(entry.item, entry.grade.letter) for entry in compound) if compound else None,
        well_formed_rate=fmean(entry.grade.well_formed for entry in graded),
    )


def n_items(graded: Sequence[Graded]) -> int:
    """Number of items, each of which has a first sample."""
    return sum(entry.sample == 1 for entry in graded)


def accuracy(graded: Sequence[Graded]) -> Estimate:
    """Proportion of correct answers over items; of several samples, the mean of the items' shares of correct ones."""
    return replace(mean_over_items(*_hits(graded)), n=n_items(graded))


def macro_accuracy(graded: Sequence[Graded]) -> Estimate:
    """Unweighted mean of the dimensions' accuracies."""
    return replace(mean_over_dimensions(*_hits(graded)), n=n_items(graded))


def _hits(graded: Sequence[Graded]) -> tuple[list[QAItem], list[float]]:
    return [entry.item for entry in graded], [float(entry.grade.correct) for entry in graded]


def mean_over_items(items: Sequence[QAItem], shares: Sequence[float]) -> Estimate:
    """Mean of `shares[i]` (0..1) of `items[i]`, with its interval clustered by medium."""
    return clustered_mean(shares, [item.medium for item in items])


def mean_over_dimensions(items: Sequence[QAItem], shares: Sequence[float]) -> Estimate:
    """Unweighted mean of the dimensions' means of `shares[i]` (0..1) of `items[i]`."""
    return clustered_mean(shares, [item.medium for item in items], [item.dimension for item in items])


def clustered_mean(
    shares: Sequence[float],
    clusters: Sequence[str],
    strata: Sequence[str] | None = None,
    stratum_weights: Mapping[str, float] | None = None,
) -> Estimate:
    """Mean of shares (0..1), or the mean of the means of strata, with a cluster-robust interval.

    Args:
        shares: At least one.
        clusters: What each share belongs to; shares of one cluster are not independent.
        strata: Parts of the shares, such as dimensions; residuals are relative to the mean of their part.
        stratum_weights: Weight of each part, with a sum of 1; by default all parts count the same.
    """
    strata = strata or [""] * len(shares)
    sizes = Counter(strata)
    stratum_mean = _means(strata, shares)
    stratum_weights = stratum_weights or dict.fromkeys(sizes, 1 / len(sizes))
    weights = [stratum_weights[stratum] / sizes[stratum] for stratum in strata]
    value = math.fsum(weight * share for weight, share in zip(weights, shares, strict=True))
    sums: defaultdict[str, float] = defaultdict(float)
    for cluster, weight, share, stratum in zip(clusters, weights, shares, strata, strict=True):
        sums[cluster] += weight * (share - stratum_mean[stratum])
    correction = len(sums) / (len(sums) - 1) if len(sums) > 1 else 1.0
    stderr = math.sqrt(correction * math.fsum(total**2 for total in sums.values()))
    low, high = wilson(value, stderr, len(sums))
    return Estimate(min(value, 1.0), low, high, stderr, len(shares))


def _means(keys: Iterable[str], values: Iterable[float]) -> dict[str, float]:
    grouped = defaultdict(list)
    for key, value in zip(keys, values, strict=True):
        grouped[key].append(value)
    return {key: fmean(group) for key, group in grouped.items()}


def wilson(value: float, stderr: float, clusters: int) -> tuple[float, float]:
    """95 % Wilson interval (Wilson 1927) at the effective sample size that gives this standard error.

    If the standard error is 0 (all right or all wrong), the effective sample size is the number of clusters.

    Args:
        value: Proportion, 0..1.
        stderr: Its standard error.
        clusters: Number of clusters.

    Returns:
        Lower and upper bound, within 0..1.
    """
    value = min(max(value, 0.0), 1.0)
    size = value * (1 - value) / stderr**2 if stderr > 1e-12 else float(clusters)
    if size <= 0:
        size = float(clusters)
    centre = (value + Z95**2 / (2 * size)) / (1 + Z95**2 / size)
    half = Z95 / (1 + Z95**2 / size) * math.sqrt(value * (1 - value) / size + Z95**2 / (4 * size**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def term_f1(item: QAItem, letter: str | None) -> float:
    """F1 score between the terms of the answered and the correct option; 0 if undecided, 1 or 0 for single terms.

    Options without a term (yes, no) are compared by letter.
    """
    if letter is None:
        return 0.0
    answered, gold = item.label(letter), item.label(item.answer)
    if answered is None or gold is None:
        return float(letter == item.answer)
    shared = len(answered.terms & gold.terms)
    return 2 * shared / (len(answered.terms) + len(gold.terms))


def is_compound(item: QAItem) -> bool:
    """Whether the correct answer has several terms."""
    label = item.label(item.answer)
    return label is not None and label.is_compound
