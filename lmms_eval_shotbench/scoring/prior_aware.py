"""Scores relative to baselines without media, to show whether a model uses the media.

- **Prior**: accuracy on the items that the option prior (`option_prior.py`, out of fold) gets right, and on the others.
  A model that uses the media is about equally accurate on both; one that answers by the frequency of the option texts
  is less accurate where the prior is wrong.
- **Above chance** (`chance_corrected` in scores.json): (accuracy - chance) / (1 - chance), where chance is the expected
  accuracy of a uniform guess; 0 at chance, 1 if all answers are correct.
- **Terms**: recall of each term over the items whose correct answer contains it, and the confusion matrix of labels.
- **Single**: accuracy on items whose correct answer is a single term; `metrics.py` has that on compound answers.

The prior is estimated from the given items, so it is unreliable with only a few dozen of them.

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

WithPrior = tuple[Graded, Graded]  # one item with the grade of the model's answer, and with that of the option prior
Averaging = Callable[[Sequence[Graded]], Estimate]
Confusion = list[tuple[str, str | None, int]]  # correct label, answered label (None: undecided), count


@dataclass(frozen=True, slots=True)
class PriorGap:
    """Difference of two proportions over disjoint sets of items, with its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PriorSplit:
    """A model's accuracy where the option prior is right and where it is wrong; None if there are no such items."""

    accuracy: Estimate  # of the option prior
    where_right: Estimate | None
    where_wrong: Estimate | None

    @property
    def difference(self) -> PriorGap | None:
        """Accuracy where the prior is right minus where it is wrong."""
        return gap(self.where_right, self.where_wrong) if self.where_right and self.where_wrong else None


@dataclass(frozen=True)
class PriorAware:
    """The metrics of this module for one run. Mappings are keyed by dimension slug, in the vocabulary's order."""

    prior: PriorSplit  # over items
    prior_macro: PriorSplit  # over dimensions; the split over dimensions in which the prior is both right and wrong
    prior_by_dimension: Mapping[str, PriorSplit]
    above_chance: Estimate
    above_chance_macro: Estimate
    above_chance_by_dimension: Mapping[str, Estimate]
    terms: Mapping[str, Mapping[str, Estimate]]  # recall by slug and term name
    confusion: Mapping[str, Confusion]
    single: Estimate | None  # accuracy on items whose correct answer has one term


def prior_aware(graded: Sequence[Graded]) -> PriorAware:
    """Compute all metrics; raises `ValueError` if there are no items."""
    pairs = with_prior(graded)
    pairs_of = _by_dimension(pairs)
    groups = {slug: [entry for entry, _ in group] for slug, group in pairs_of.items()}
    chances = {slug: _chance(group) for slug, group in groups.items()}
    single = [entry for entry in graded if _option_terms(entry, entry.item.answer) and not is_compound(entry.item)]
    return PriorAware(
        prior=_split(pairs),
        prior_macro=_macro_split(pairs_of),
        prior_by_dimension={slug: _split(group) for slug, group in pairs_of.items()},
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
    """Return the entries of scores.json for these metrics (docs/scores.md)."""
    return {
        "prior": _split_json(numbers.prior)
        | {
            "macro": _split_json(numbers.prior_macro),
            "by_dimension": {slug: _split_json(split) for slug, split in numbers.prior_by_dimension.items()},
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
    """Lines to print below a table of scores, in percent."""
    prior, above = numbers.prior, numbers.above_chance_macro
    sides = ((prior.where_right, "right"), (prior.where_wrong, "wrong"))
    parts = [f"{_percent(share)} of the {share.n} where it is {side}" for share, side in sides if share]
    return [
        f"option prior {100 * prior.accuracy.value:.1f} % right; the model {' and '.join(parts)}",
        f"chance-corrected (macro): {_percent(above)}; 0 is guessing, 100 all right",
    ]


def _percent(share: Estimate) -> str:
    return f"{100 * share.value:.1f} ({100 * share.low:.1f} – {100 * share.high:.1f})"


def _split_json(split: PriorSplit) -> dict[str, Any]:
    return asdict(split) | {"difference": asdict(split.difference) if split.difference else None}


def with_prior(graded: Sequence[Graded]) -> list[WithPrior]:
    """Pair each response with the option prior's answer, which is estimated from each item once."""
    items = [entry.item for entry in graded if entry.sample == 1]
    guesses = dict(zip(map(id, items), blind_graded(items), strict=True))
    return [(entry, replace(guesses[id(entry.item)], sample=entry.sample)) for entry in graded]


def blind_graded(items: Sequence[QAItem]) -> list[Graded]:
    """Grades of the option prior's predictions, as if they were a model's responses."""
    return [
        Graded(item, Grade(letter, letter == item.answer, "option prior", well_formed=True))
        for item, letter in zip(items, blind_letters(items), strict=True)
    ]


def above_chance(estimate: Estimate, chance_level: float) -> Estimate:
    """Chance-corrected accuracy, (accuracy - chance) / (1 - chance); negative if worse than guessing."""
    span = 1 - chance_level
    value, low, high = ((share - chance_level) / span for share in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, low, high, estimate.stderr / span, estimate.n)


def gap(one: Estimate, other: Estimate) -> PriorGap:
    """Difference of two proportions, with Newcombe's hybrid score interval (Newcombe 1998, method 10).

    The two groups of items are assumed independent, even if they share media.
    """
    down = math.hypot(one.value - one.low, other.high - other.value)
    up = math.hypot(one.high - one.value, other.value - other.low)
    value = one.value - other.value
    return PriorGap(value, max(-1.0, value - down), min(1.0, value + up))


def _by_dimension(pairs: Sequence[WithPrior]) -> dict[str, list[WithPrior]]:
    groups = defaultdict(list)
    for pair in pairs:
        groups[pair[0].item.dimension].append(pair)
    return {dimension.slug: groups[dimension.slug] for dimension in DIMENSIONS if dimension.slug in groups}


def _chance(graded: Sequence[Graded]) -> float:
    return chance([entry.item for entry in graded])


def _split(pairs: Sequence[WithPrior]) -> PriorSplit:
    return PriorSplit(accuracy([guess for _, guess in pairs]), *_accuracies(pairs, accuracy))


def _macro_split(pairs_of: Mapping[str, Sequence[WithPrior]]) -> PriorSplit:
    guesses = [guess for pairs in pairs_of.values() for _, guess in pairs]
    both = [pairs for pairs in pairs_of.values() if len({guess.grade.correct for _, guess in pairs}) == 2]
    return PriorSplit(macro_accuracy(guesses), *_accuracies([pair for pairs in both for pair in pairs], macro_accuracy))


def _accuracies(pairs: Sequence[WithPrior], mean: Averaging) -> tuple[Estimate | None, Estimate | None]:
    """Accuracy where the prior is right, and where it is wrong."""
    right = [entry for entry, guess in pairs if guess.grade.correct]
    wrong = [entry for entry, guess in pairs if not guess.grade.correct]
    return (mean(right) if right else None), (mean(wrong) if wrong else None)


def _recalls(dimension: Dimension, graded: Sequence[Graded]) -> dict[str, Estimate]:
    """Recall by term name: of the items with the term in the correct answer, the share with it in the model's."""
    by_term: defaultdict[Term, list[Graded]] = defaultdict(list)
    for entry in graded:
        answered = _option_terms(entry, entry.grade.letter)
        for term in _option_terms(entry, entry.item.answer):
            by_term[term].append(replace(entry, grade=replace(entry.grade, correct=term in answered)))
    return {term.name: accuracy(by_term[term]) for term in dimension.terms if term in by_term}


def _option_terms(entry: Graded, letter: str | None) -> frozenset[Term]:
    return meaning(entry.item.dimension, entry.item.choices[letter]).terms if letter else frozenset()


def _confusion(graded: Sequence[Graded]) -> Confusion:
    """Non-zero cells of the confusion matrix, sorted by frequency of the correct label, then of the answered label."""
    pairs = [(_option_text(entry, entry.item.answer), _option_text(entry, entry.grade.letter)) for entry in graded]
    total = Counter(gold for gold, _ in pairs)
    counts = sorted(Counter(pairs).items(), key=lambda each: (-total[each[0][0]], each[0][0], -each[1], each[0][1]))
    return [(gold, answered or None, count) for (gold, answered), count in counts]


def _option_text(entry: Graded, letter: str | None) -> str:
    return meaning(entry.item.dimension, entry.item.choices[letter]).text if letter else ""
