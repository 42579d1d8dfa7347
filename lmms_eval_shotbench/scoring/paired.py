"""Paired comparison of two runs on the same items: difference, confidence interval, p-value and detectable difference.

All differences are B minus A. Only items that one run has right and the other wrong contribute. Of a run with several
samples of each item, an item counts once, by its share of correct samples.

- **Interval**: 95 % confidence interval of the mean of the items' differences (-1..1), clustered by medium as in
  `metrics.py` (residuals summed within a medium, G/(G-1) correction). One item gained and one lost are added to each
  mean as separate media (Bonett and Price 2012), so that the interval has a positive width when runs hardly differ and
  covers 95 % in small dimensions. The quantile is Student's t with G-1 degrees of freedom: nearly the normal quantile
  for the hundreds of media of the benchmark, and wider for few media.
- **p**: exact McNemar test (McNemar 1947), the two-sided binomial test of gained against lost items at 1/2; it assumes
  independent items. `holm` corrects it for multiple dimensions (Holm 1979). With several samples, p is of the exact
  sign-flip permutation test of the sum of the differences (Fisher 1935), which equals McNemar's if they are -1, 0 or 1.
- **Detectable**: the true difference detected with a power of 80 % at a two-sided level of 5 %: (1.96 + 0.84) standard
  errors.

Pure functions. SciPy and NumPy, which compute quantiles and p-values, are imported where they are used: scoring a
single run does not need them.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean
from typing import NamedTuple

from lmms_eval_shotbench.scoring.metrics import Z95
from lmms_eval_shotbench.vocabulary import DIMENSIONS

LEVEL = 0.05  # two-sided
Z80 = 0.8416212335729143  # standard normal quantile of 0.80


@dataclass(frozen=True, slots=True)
class Pair:
    """One item as answered by two runs."""

    dimension: str
    medium: str
    a: bool | Fraction  # whether A is right, or A's share of correct samples
    b: bool | Fraction

    @property
    def change(self) -> int | Fraction:
        """Difference of B and A: 1 if gained, -1 if lost, else 0; of several samples, any share between."""
        return self.b - self.a


@dataclass(frozen=True, slots=True)
class Difference:
    """Accuracy of B minus that of A with its 95 % confidence interval; proportions, except for the counts."""

    n: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    stderr: float  # clustered by medium, including the added items
    gained: int  # items that only B has right; of several samples, items that B has right more often
    lost: int  # items that only A has right, or right more often
    detectable: float  # detectable difference between runs that disagree as often as these
    detectable_unrelated: float  # the same for runs with these accuracies whose errors are independent
    p: float  # of the exact McNemar test, or of its generalisation to several samples; over items

    @property
    def significant(self) -> bool:
        """Whether the confidence interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Differences:
    """All differences between two runs."""

    overall: Difference  # over items
    macro: Difference  # unweighted mean of the dimensions' differences
    by_dimension: dict[str, Difference]
    p_holm: dict[str, float]  # Holm-corrected p-values by dimension


def differences(pairs: Sequence[Pair]) -> Differences:
    """Compute all differences; raises `ValueError` if there are no items."""
    groups: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.dimension].append(pair)
    by_dimension = {d.slug: difference(groups[d.slug]) for d in DIMENSIONS if d.slug in groups}
    p_holm = holm({slug: one.p for slug, one in by_dimension.items()})
    return Differences(difference(pairs), _difference(list(groups.values())), by_dimension, p_holm)


def difference(pairs: Sequence[Pair]) -> Difference:
    """Difference over items; raises `ValueError` if there are none."""
    return _difference([pairs])


def _difference(groups: Sequence[Sequence[Pair]]) -> Difference:
    """Unweighted mean of the groups' differences."""
    if not groups or not all(groups):
        raise ValueError("no items to compare")
    shares = [(fmean(pair.a for pair in group), fmean(pair.b for pair in group)) for group in groups]
    a, b = (fmean(values) for values in zip(*shares, strict=True))
    unrelated = [
        (_variance(p, [pair.a for pair in group]) + _variance(q, [pair.b for pair in group])) / len(group)
        for (p, q), group in zip(shares, groups, strict=True)
    ]
    centre, stderr, clusters = adjusted_mean(groups)
    half = student95(clusters - 1) * stderr
    changes = [pair.change for group in groups for pair in group]
    return Difference(
        n=sum(map(len, groups)),
        a=a,
        b=b,
        difference=b - a,
        low=max(-1.0, centre - half),
        high=min(1.0, centre + half),
        stderr=stderr,
        gained=sum(change > 0 for change in changes),
        lost=sum(change < 0 for change in changes),
        detectable=detectable(stderr),
        detectable_unrelated=detectable(math.sqrt(math.fsum(unrelated)) / len(groups)),
        p=sign_flip(changes),
    )


def _variance(mean: float, shares: Sequence[bool | Fraction]) -> float:
    """Variance of items whose errors are independent; p(1-p) if each is right or wrong."""
    return mean * (1 - mean) - fmean(share * (1 - share) for share in shares)


class AdjustedMean(NamedTuple):
    """Mean difference with two items added to each group; the centre of its interval."""

    value: float
    stderr: float  # clustered by medium
    clusters: int  # including the added items


def adjusted_mean(groups: Sequence[Sequence[Pair]], weights: Sequence[float] | None = None) -> AdjustedMean:
    """Mean of the groups' mean differences, with one item gained and one lost added to each group.

    Args:
        groups: Items by group, at least one in each.
        weights: Weight of each group, with a sum of 1; by default all groups count the same.
    """
    weights = weights or [1 / len(groups)] * len(groups)
    means, added = [], []
    sums: defaultdict[str, float] = defaultdict(float)
    for group, weight in zip(groups, weights, strict=True):
        size = len(group) + 2  # plus one gained and one lost
        mean = float(sum(pair.change for pair in group) / size)
        for pair in group:
            sums[pair.medium] += (float(pair.change) - mean) * weight / size
        added += [(change - mean) * weight / size for change in (1, -1)]
        means.append(weight * mean)
    residuals = [*sums.values(), *added]
    clusters = len(residuals)
    variance = clusters / (clusters - 1) * math.fsum(residual**2 for residual in residuals)
    return AdjustedMean(math.fsum(means), math.sqrt(variance), clusters)


def student95(freedom: float) -> float:
    """0.975 quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def detectable(stderr: float) -> float:
    """The true difference that a two-sided test at a level of 5 % detects with a power of 80 %."""
    return (Z95 + Z80) * stderr


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p-value of the exact McNemar test; 1 if no item changed."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def sign_flip(changes: Sequence[int | Fraction]) -> float:
    """Two-sided p-value of the exact sign-flip permutation test of the sum of the items' differences.

    Returns:
        McNemar's exact p if all differences are -1, 0 and 1; otherwise exact up to rounding errors of about 1e-12.
    """
    unit = math.lcm(*(change.denominator for change in changes))
    steps = [int(change * unit) for change in changes if change]
    gained, lost = sum(step for step in steps if step > 0), -sum(step for step in steps if step < 0)
    sizes = Counter(map(abs, steps))
    if len(sizes) < 2:  # a single size: the sum counts the items that were gained
        size = next(iter(sizes), 1)
        return mcnemar(gained // size, lost // size)
    import numpy as np

    # The sum of the gained steps under the null has the characteristic function of independent items that are each
    # gained with a probability of 1/2; its distribution is the inverse Fourier transform.
    angles = 2 * np.pi * np.arange(gained + lost + 1) / (gained + lost + 1)
    transform = np.prod([((1 + np.exp(-1j * size * angles)) / 2) ** count for size, count in sizes.items()], axis=0)
    chances = np.fft.ifft(transform).real
    return float(min(1.0, 2 * max(0.0, chances[: min(gained, lost) + 1].sum())))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """P-values by Holm's step-down correction: rejecting below 5 % bounds the family-wise error rate by 5 %."""
    corrected: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p, key=lambda name: p[name])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p}
