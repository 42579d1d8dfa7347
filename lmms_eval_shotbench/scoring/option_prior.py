"""What the options alone give away: answering without looking, from how often each option text is the right one.

A question set whose right answers are common among its options can be answered blind: on ShotBench this gets about
53 % of camera movement right, where chance is 25 %. `blind_letters` makes that guess for every item, out of fold: the
frequencies come from items of other folds, and questions that share a medium lie in one fold, which a hash of the
medium decides. So the guess never saw its own item, and two runs agree.

Ten folds, not one for each item: with an item left out, its own answer is always a little rarer than the others, and
on a balanced set the guess would then be wrong every time.

It serves the audit of a dataset, and scores told apart by whether the guess was right. Standard library only.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import Term, UnknownTerm, dimension_named, normal_form

FOLDS = 10
TEXTS = 65536  # remembered: a few hundred texts stand in hundreds of thousands of options
PRIOR_WEIGHT = 1.0  # offers an unseen text starts with, right as often as chance has it


class Meaning(NamedTuple):
    """What an option says, whatever its spelling."""

    text: str  # in the vocabulary's own words; the normal form where it names no term
    terms: frozenset[Term]  # none where it names none
    repeats: bool  # says a term twice


@lru_cache(maxsize=TEXTS)
def meaning(slug: str, option: str) -> Meaning:
    """What an option of this dimension says."""
    dimension = dimension_named(slug)
    try:
        label = dimension.parse(option)
    except UnknownTerm:
        return Meaning(normal_form(option), frozenset(), repeats=False)
    return Meaning(str(dimension.canonical(label)), label.terms, bool(label.repeated_terms))


def fold_of(medium: str, folds: int = FOLDS) -> int:
    """The fold of all questions about this medium."""
    return int.from_bytes(hashlib.sha256(medium.encode()).digest()[:8], "big") % folds


def blind_letters(items: Sequence[QAItem], folds: int = FOLDS) -> list[str]:
    """The letter of the option that was right most often where it was offered, in other folds; one for each item.

    Texts are counted by dimension, whatever their spelling. Of equal ones the first counts.
    """
    placed = [(item, fold_of(item.medium, folds)) for item in items]
    offered: Counter[tuple[str, str]] = Counter()
    right: Counter[tuple[str, str]] = Counter()
    offered_in: defaultdict[int, Counter[tuple[str, str]]] = defaultdict(Counter)
    right_in: defaultdict[int, Counter[tuple[str, str]]] = defaultdict(Counter)
    for item, fold in placed:
        offered_in[fold].update(_texts(item))
        right_in[fold][_text(item, item.gold)] += 1
    for fold in offered_in:
        offered.update(offered_in[fold])
        right.update(right_in[fold])

    def prior(item: QAItem, fold: int, letter: str) -> float:
        text = _text(item, item.choices[letter])
        hits = right[text] - right_in[fold][text]
        return (hits + PRIOR_WEIGHT / len(item.options)) / (offered[text] - offered_in[fold][text] + PRIOR_WEIGHT)

    return [max(item.letters, key=lambda letter: prior(item, fold, letter)) for item, fold in placed]


def chance(items: Sequence[QAItem]) -> float:
    """Accuracy of guessing among the options; raises `ValueError` where there are no items."""
    if not items:
        raise ValueError("no items to guess")
    return sum(1 / len(item.options) for item in items) / len(items)


def _texts(item: QAItem) -> list[tuple[str, str]]:
    return [_text(item, option) for option in item.options]


def _text(item: QAItem, option: str) -> tuple[str, str]:
    return item.dimension, _normal_form(option)


_normal_form = lru_cache(maxsize=TEXTS)(normal_form)
