"""Transfer: whether the lead of one model over another on one set of questions remains on another set.

Sets have other dimensions, numbers of options and shares of correct answers, so plain accuracies do not compare:

- **Over dimensions**: each dimension counts the same, in every set.
- **Above chance**: (accuracy - chance) / (1 - chance), where chance is the expected accuracy of a uniform guess: 0 at
  chance, 1 if all answers are correct. A lead of ten points on questions of two options is worth as much as one of
  fifteen on questions of four.
- **Balanced**: in a one-sided dimension of a set, accuracy and chance are means over classes, the texts of the correct
  options, so that a model that always gives the most frequent answer is at chance. A dimension is one-sided if that
  model is more than a third above chance: right on more than 67 % of questions of two options, or 50 % of four.
- **Lead**: mean difference of two models' answers to the same questions, with the interval of `paired.py`; the items
  that it adds are not counted as clusters in the degrees of freedom, since films may be few.
- **Difference of leads**: of two sets, which are assumed to be independent: the variances add up, and the degrees of
  freedom of Student's t are Welch's (Welch 1947).

Intervals are 95 % and clustered by film if it is known, otherwise by medium.

Pure functions.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean
from typing import NamedTuple

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.scoring.metrics import Estimate, clustered_mean
from lmms_eval_shotbench.scoring.option_prior import chance, meaning
from lmms_eval_shotbench.scoring.paired import Pair, adjusted_mean, student95
from lmms_eval_shotbench.scoring.prior_aware import above_chance

ONE_SIDED = 1 / 3  # above chance, of a model that always gives the most frequent correct answer


class Answered(NamedTuple):
    """A question and how it was answered."""

    item: QAItem
    share: bool | Fraction  # whether the answer is right; of several samples, the share of correct ones


class AnsweredByTwo(NamedTuple):
    """A question and how two models answered it."""

    item: QAItem
    a: bool | Fraction
    b: bool | Fraction


@dataclass(frozen=True)
class TransferScore:
    """Accuracy of one model on questions of one set, over dimensions; balanced in one-sided dimensions."""

    accuracy: Estimate
    chance: float
    above_chance: Estimate


@dataclass(frozen=True, slots=True)
class Contrast:
    """A difference with its 95 % confidence interval, and what the interval is computed from."""

    value: float
    low: float
    high: float
    stderr: float
    freedom: float  # degrees of freedom of Student's t

    @property
    def sign(self) -> int:
        """1 if the interval is above 0, -1 if it is below 0, otherwise 0."""
        return (self.low > 0) - (self.high < 0)


@dataclass(frozen=True)
class Lead:
    """Lead of model A over model B on the same questions: positive if A is better."""

    n: int
    accuracy: Contrast
    above_chance: Contrast


def is_one_sided(items: Sequence[QAItem]) -> bool:
    """Whether always giving the most frequent correct answer is more than `ONE_SIDED` above chance."""
    level = chance(items)
    most = max(Counter(map(_class, items)).values()) / len(items)
    return (most - level) / (1 - level) > ONE_SIDED


def one_sided_dimensions(items: Sequence[QAItem]) -> list[str]:
    """Return the slugs of the one-sided dimensions of a set, in order of appearance."""
    groups: defaultdict[str, list[QAItem]] = defaultdict(list)
    for item in items:
        groups[item.dimension].append(item)
    return [slug for slug, group in groups.items() if is_one_sided(group)]


def transfer_score(answers: Sequence[Answered], one_sided: Collection[str]) -> TransferScore:
    """Compute the accuracy over dimensions.

    Args:
        answers: At least one.
        one_sided: Slugs of the dimensions whose accuracy is balanced.
    """
    items = [one.item for one in answers]
    strata = [_stratum(item, one_sided) for item in items]
    weights = _weights(items, strata)
    accuracy = clustered_mean([float(one.share) for one in answers], list(map(_cluster, items)), strata, weights)
    level = _chance(items, strata, weights)
    return TransferScore(accuracy, level, above_chance(accuracy, level))


def lead(answers: Sequence[AnsweredByTwo], one_sided: Collection[str]) -> Lead:
    """Compute the lead of A over B over dimensions; arguments as in `transfer_score`."""
    items = [one.item for one in answers]
    strata = [_stratum(item, one_sided) for item in items]
    weights = _weights(items, strata)
    groups: dict[str, list[Pair]] = {stratum: [] for stratum in weights}
    for one, stratum in zip(answers, strata, strict=True):
        groups[stratum].append(Pair(one.item.dimension, _cluster(one.item), a=one.b, b=one.a))  # `change` is A - B
    value = math.fsum(weights[name] * fmean(pair.change for pair in group) for name, group in groups.items())
    centre, stderr, _ = adjusted_mean(list(groups.values()), list(weights.values()))
    freedom = max(1, len(set(map(_cluster, items))) - 1)  # without the added items: films may be few
    accuracy = _contrast(value, centre, stderr, freedom)
    span = 1 - _chance(items, strata, weights)
    scaled = _contrast(value / span, centre / span, stderr / span, freedom)
    return Lead(len(answers), accuracy, scaled)


def difference_of_leads(one: Contrast, other: Contrast) -> Contrast:
    """Difference of two independent leads, with Welch's degrees of freedom."""
    variances = one.stderr**2, other.stderr**2
    parts = [variance**2 / freedom for variance, freedom in zip(variances, (one.freedom, other.freedom), strict=True)]
    freedom = sum(variances) ** 2 / sum(parts)
    centre = (one.low + one.high - other.low - other.high) / 2
    return _contrast(one.value - other.value, centre, math.sqrt(sum(variances)), freedom)


def _contrast(value: float, centre: float, stderr: float, freedom: float) -> Contrast:
    half = student95(freedom) * stderr
    return Contrast(value, centre - half, centre + half, stderr, freedom)


def _class(item: QAItem) -> str:
    return meaning(item.dimension, item.gold).text


def _cluster(item: QAItem) -> str:
    return f"film {item.film_id}" if item.film_id else item.medium


def _stratum(item: QAItem, one_sided: Collection[str]) -> str:
    return f"{item.dimension}: {_class(item)}" if item.dimension in one_sided else item.dimension


def _weights(items: Sequence[QAItem], strata: Sequence[str]) -> Mapping[str, float]:
    """Weights of the strata: dimensions count the same, and so do the classes of a dimension."""
    strata_of: defaultdict[str, set[str]] = defaultdict(set)
    for item, stratum in zip(items, strata, strict=True):
        strata_of[item.dimension].add(stratum)
    return {stratum: 1 / (len(strata_of) * len(names)) for names in strata_of.values() for stratum in sorted(names)}


def _chance(items: Sequence[QAItem], strata: Sequence[str], weights: Mapping[str, float]) -> float:
    """Expected accuracy of a uniform guess, with the weights of the accuracy."""
    guesses: defaultdict[str, list[float]] = defaultdict(list)
    for item, stratum in zip(items, strata, strict=True):
        guesses[stratum].append(1 / len(item.options))
    return math.fsum(weights[stratum] * fmean(values) for stratum, values in guesses.items())
