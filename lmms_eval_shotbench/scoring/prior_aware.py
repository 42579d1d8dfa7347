"""Does a model see, or does it guess? Scores set against what could have been got without looking.

- **Prior**: accuracy where the option prior (`option_prior.py`, out of fold) has the answer, and where it has not. A
  model that sees is as good in both; one that answers by what is common falls off where that is wrong.
- **Above chance**: (accuracy - chance) / (1 - chance), 0 for guessing and 1 for all right, at the mean chance.
- **Terms**: recall of every term over the items whose right answer names it, and which label is taken for which.
- **Single** answers beside the compound ones of `metrics.py`.

The prior is learnt from the items given, so of a few dozen it knows little.

Pure functions; standard library only.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

from lmms_eval_shotbench.grading.grade import Grade
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.scoring.metrics import Estimate, Graded, accuracy, is_compound, macro_accuracy
from lmms_eval_shotbench.scoring.option_prior import blind_letters, chance, meaning
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, Term, dimension_named

Pair = tuple[Graded, Graded]  # a model's answer and the prior's, to one item
Mean = Callable[[Sequence[Graded]], Estimate]
Confusion = list[tuple[str, str | None, int]]  # right label, answered label (None: undecided), how often


@dataclass(frozen=True, slots=True)
class Gap:
    """One share minus another of other items, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ToldApart:
    """A model's accuracy by whether the option prior is right; None where there is no such item."""

    accuracy: Estimate  # of the prior itself
    where_right: Estimate | None
    where_wrong: Estimate | None

    @property
    def difference(self) -> Gap | None:
        """Accuracy where the prior is right minus where it is wrong."""
        return gap(self.where_right, self.where_wrong) if self.where_right and self.where_wrong else None


@dataclass(frozen=True)
class PriorAware:
    """All these numbers of one run. Mappings go by slug, in the vocabulary's order."""

    prior: ToldApart  # over items
    prior_macro: ToldApart  # over dimensions, of those that have items of both kinds where they are told apart
    prior_by_dimension: Mapping[str, ToldApart]
    above_chance: Estimate
    above_chance_macro: Estimate
    above_chance_by_dimension: Mapping[str, Estimate]
    terms: Mapping[str, Mapping[str, Estimate]]  # recall by slug and term
    confusion: Mapping[str, Confusion]
    single: Estimate | None  # accuracy on items whose right answer names one term


def prior_aware(graded: Sequence[Graded]) -> PriorAware:
    """Compute all; raises `ValueError` where there are no items."""
    pairs = list(zip(graded, blind_graded([entry.item for entry in graded]), strict=True))
    paired = _by_dimension(pairs)
    groups = {slug: [entry for entry, _ in some] for slug, some in paired.items()}
    chances = {slug: _chance(group) for slug, group in groups.items()}
    single = [entry for entry in graded if _terms(entry, entry.item.answer) and not is_compound(entry.item)]
    return PriorAware(
        prior=_told_apart(pairs),
        prior_macro=_told_apart_by_dimension(paired),
        prior_by_dimension={slug: _told_apart(some) for slug, some in paired.items()},
        above_chance=above_chance(accuracy(graded), _chance(graded)),
        above_chance_macro=above_chance(macro_accuracy(graded), fmean(chances.values())),
        above_chance_by_dimension={
            slug: above_chance(accuracy(group), chances[slug]) for slug, group in groups.items()
        },
        terms={slug: _recalls(dimension_named(slug), group) for slug, group in groups.items()},
        confusion={slug: _confusion(group) for slug, group in groups.items()},
        single=accuracy(single) if single else None,
    )


def prior_aware_json(numbers: PriorAware) -> dict[str, Any]:
    """The entries of scores.json (docs/scores.md)."""
    return {
        "prior": _told_apart_json(numbers.prior)
        | {
            "macro": _told_apart_json(numbers.prior_macro),
            "by_dimension": {slug: _told_apart_json(told) for slug, told in numbers.prior_by_dimension.items()},
        },
        "chance_corrected": {
            "micro": asdict(numbers.above_chance),
            "macro": asdict(numbers.above_chance_macro),
            "by_dimension": {slug: asdict(estimate) for slug, estimate in numbers.above_chance_by_dimension.items()},
        },
        "single": asdict(numbers.single) if numbers.single else None,
        "terms": {
            slug: {name: asdict(recall) for name, recall in recalls.items()} for slug, recalls in numbers.terms.items()
        },
        "confusion": numbers.confusion,
    }


def prior_remarks(numbers: PriorAware) -> list[str]:
    """Lines below a table of scores, in percent."""
    prior, above = numbers.prior, numbers.above_chance_macro
    sides = ((prior.where_right, "right"), (prior.where_wrong, "wrong"))
    told = [f"{_percent(share)} of the {share.n} where it is {side}" for share, side in sides if share]
    return [
        f"option prior {100 * prior.accuracy.value:.1f} % right; the model {' and '.join(told)}",
        f"chance-corrected (macro): {_percent(above)}; 0 is guessing, 100 all right",
    ]


def _percent(share: Estimate) -> str:
    return f"{100 * share.value:.1f} ({100 * share.low:.1f} – {100 * share.high:.1f})"


def _told_apart_json(told: ToldApart) -> dict[str, Any]:
    return asdict(told) | {"difference": asdict(told.difference) if told.difference else None}


def blind_graded(items: Sequence[QAItem]) -> list[Graded]:
    """The option prior's own answers, as those of a model."""
    return [
        Graded(item, Grade(letter, letter == item.answer, "option prior", well_formed=True))
        for item, letter in zip(items, blind_letters(items), strict=True)
    ]


def above_chance(estimate: Estimate, by_chance: float) -> Estimate:
    """The share of what guessing leaves open that was got; below 0 where guessing does better."""
    span = 1 - by_chance
    value, low, high = ((share - by_chance) / span for share in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, low, high, estimate.stderr / span, estimate.n)


def gap(one: Estimate, other: Estimate) -> Gap:
    """Difference of two shares of different items, by Newcombe's hybrid of their intervals (Newcombe 1998, method 10).

    Media that have items in both groups are taken for independent there.
    """
    down = math.hypot(one.value - one.low, other.high - other.value)
    up = math.hypot(one.high - one.value, other.value - other.low)
    value = one.value - other.value
    return Gap(value, max(-1.0, value - down), min(1.0, value + up))


def _by_dimension(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    groups = defaultdict(list)
    for pair in pairs:
        groups[pair[0].item.dimension].append(pair)
    return {dimension.slug: groups[dimension.slug] for dimension in DIMENSIONS if dimension.slug in groups}


def _chance(graded: Sequence[Graded]) -> float:
    return chance([entry.item for entry in graded])


def _told_apart(pairs: Sequence[Pair]) -> ToldApart:
    return ToldApart(accuracy([guess for _, guess in pairs]), *_sides(pairs, accuracy))


def _told_apart_by_dimension(paired: Mapping[str, Sequence[Pair]]) -> ToldApart:
    guessed = [guess for pairs in paired.values() for _, guess in pairs]
    both = [pairs for pairs in paired.values() if len({guess.grade.correct for _, guess in pairs}) == 2]
    return ToldApart(macro_accuracy(guessed), *_sides([pair for pairs in both for pair in pairs], macro_accuracy))


def _sides(pairs: Sequence[Pair], mean: Mean) -> tuple[Estimate | None, Estimate | None]:
    """Of the items that the prior has right, and of those it has wrong."""
    right = [entry for entry, guess in pairs if guess.grade.correct]
    wrong = [entry for entry, guess in pairs if not guess.grade.correct]
    return (mean(right) if right else None), (mean(wrong) if wrong else None)


def _recalls(dimension: Dimension, graded: Sequence[Graded]) -> dict[str, Estimate]:
    """Share of items, of those whose right answer names the term, where the answer names it too."""
    named: defaultdict[Term, list[Graded]] = defaultdict(list)
    for entry in graded:
        said = _terms(entry, entry.grade.letter)
        for term in _terms(entry, entry.item.answer):
            named[term].append(Graded(entry.item, replace(entry.grade, correct=term in said)))
    return {term.name: accuracy(named[term]) for term in dimension.terms if term in named}


def _terms(entry: Graded, letter: str | None) -> frozenset[Term]:
    return meaning(entry.item.dimension, entry.item.choices[letter]).terms if letter else frozenset()


def _confusion(graded: Sequence[Graded]) -> Confusion:
    """Pairs that occur; the most frequent right label first, then the answer most often given to it."""
    pairs = [(_text(entry, entry.item.answer), _text(entry, entry.grade.letter)) for entry in graded]
    total = Counter(gold for gold, _ in pairs)
    counts = sorted(Counter(pairs).items(), key=lambda each: (-total[each[0][0]], each[0][0], -each[1], each[0][1]))
    return [(gold, said or None, count) for (gold, said), count in counts]


def _text(entry: Graded, letter: str | None) -> str:
    return meaning(entry.item.dimension, entry.item.choices[letter]).text if letter else ""
