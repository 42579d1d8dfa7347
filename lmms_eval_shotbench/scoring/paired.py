"""Two runs on the same items: is B better than A, by how much, and what difference could have been found at all?

Everything is B minus A. What two runs share cancels: only items that one has right and the other wrong tell them apart.

- **Interval**: 95 %, of the mean of the items' differences (-1, 0, +1), clustered by medium as in `metrics.py`
  (residuals summed within a medium, G/(G-1) correction). One item gained and one lost are added to each mean as media
  of their own (Bonett and Price 2012), which keeps the interval from vanishing where runs hardly differ and brings its
  coverage to 95 % in small dimensions. The quantile is Student's with G-1 degrees of freedom: the normal one's in the
  hundreds of media that the benchmark has, and wider where there are few.
- **p**: exact McNemar test (McNemar 1947), the two-sided binomial test of gained against lost items at 1/2; it takes
  items for independent. `holm` corrects it for asking several dimensions (Holm 1979).
- **Detectable**: the true difference found four times in five, at 5 % two-sided: (1.96 + 0.84) standard errors.

Pure functions. Quantiles and tails are SciPy's, imported where they are used: scoring a run needs none of it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from lmms_eval_shotbench.scoring.metrics import Z95
from lmms_eval_shotbench.vocabulary import DIMENSIONS

LEVEL = 0.05  # two-sided
Z80 = 0.8416212335729143  # standard normal quantile of 0.80


@dataclass(frozen=True, slots=True)
class Pair:
    """One item as two runs answered it."""

    dimension: str
    medium: str
    a: bool  # whether A has it right
    b: bool

    @property
    def change(self) -> int:
        """1 gained, -1 lost, 0 the same."""
        return self.b - self.a


@dataclass(frozen=True, slots=True)
class Difference:
    """Accuracy of B minus that of A with its 95 % interval; all are shares, but for the counts."""

    n: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    stderr: float
    gained: int  # items that only B has right
    lost: int  # items that only A has right
    detectable: float  # with runs that disagree as often as these
    detectable_unrelated: float  # with runs of these accuracies whose faults have nothing in common

    @property
    def p(self) -> float:
        """Exact McNemar p of its items."""
        return mcnemar(self.gained, self.lost)

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Differences:
    """All differences of two runs."""

    overall: Difference  # over items
    macro: Difference  # mean of the dimensions' differences, each dimension weighing the same
    by_dimension: dict[str, Difference]
    p_holm: dict[str, float]  # by dimension


def differences(pairs: Sequence[Pair]) -> Differences:
    """Compute all differences; raises `ValueError` where there are no items."""
    groups: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.dimension].append(pair)
    by_dimension = {d.slug: difference(groups[d.slug]) for d in DIMENSIONS if d.slug in groups}
    p_holm = holm({slug: one.p for slug, one in by_dimension.items()})
    return Differences(difference(pairs), _difference(list(groups.values())), by_dimension, p_holm)


def difference(pairs: Sequence[Pair]) -> Difference:
    """Over items; raises `ValueError` where there are none."""
    return _difference([pairs])


def _difference(groups: Sequence[Sequence[Pair]]) -> Difference:
    """The mean of the groups' differences."""
    if not groups or not all(groups):
        raise ValueError("no items to compare")
    shares = [(fmean(pair.a for pair in group), fmean(pair.b for pair in group)) for group in groups]
    a, b = (fmean(values) for values in zip(*shares, strict=True))
    unrelated = [(p * (1 - p) + q * (1 - q)) / len(group) for (p, q), group in zip(shares, groups, strict=True)]
    centre, stderr, clusters = _adjusted(groups)
    half = student95(clusters - 1) * stderr
    changes = Counter(pair.change for group in groups for pair in group)
    return Difference(
        n=sum(map(len, groups)),
        a=a,
        b=b,
        difference=b - a,
        low=max(-1.0, centre - half),
        high=min(1.0, centre + half),
        stderr=stderr,
        gained=changes[1],
        lost=changes[-1],
        detectable=detectable(stderr),
        detectable_unrelated=detectable(math.sqrt(math.fsum(unrelated)) / len(groups)),
    )


def _adjusted(groups: Sequence[Sequence[Pair]]) -> tuple[float, float, int]:
    """Mean of the groups' means, its clustered standard error, number of clusters; each group with two items more."""
    means, added = [], []
    sums: defaultdict[str, float] = defaultdict(float)
    for group in groups:
        size = len(group) + 2  # one gained and one lost besides
        mean = sum(pair.change for pair in group) / size
        for pair in group:
            sums[pair.medium] += (pair.change - mean) / (size * len(groups))
        added += [(change - mean) / (size * len(groups)) for change in (1, -1)]
        means.append(mean)
    residuals = [*sums.values(), *added]
    clusters = len(residuals)
    variance = clusters / (clusters - 1) * math.fsum(residual**2 for residual in residuals)
    return fmean(means), math.sqrt(variance), clusters


def student95(freedom: int) -> float:
    """0.975 quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def detectable(stderr: float) -> float:
    """The true difference that a two-sided test at 5 % finds with a power of 80 %."""
    return (Z95 + Z80) * stderr


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p of the exact McNemar test; 1 where nothing changed."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down corrected p values: refusing all below 5 % is wrong at all in 5 % of cases at most."""
    corrected: dict[str, float] = {}
    least = 0.0
    for rank, name in enumerate(sorted(p, key=lambda name: p[name])):
        least = max(least, min(1.0, (len(p) - rank) * p[name]))
        corrected[name] = least
    return {name: corrected[name] for name in p}
