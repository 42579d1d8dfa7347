"""Option prior: a blind baseline that answers with the option text that is most often correct.

Questions whose correct answers are unevenly distributed over the option texts can be answered without the media: on
ShotBench this baseline has an accuracy of about 52 % on camera movement, where chance is 25 %. `blind_letters` predicts
each item out of fold: the frequencies come from the other folds, and all questions about a medium are in the fold given
by a hash of the medium. So a prediction never uses its own item, and is reproducible.

There are ten folds instead of leave-one-out: with an item left out, its own answer is always slightly rarer than the
others, so that on a balanced set the prediction would always be wrong.

Used by the audit of a dataset, and to split scores by whether the prior is right. Standard library only.
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
CACHE_SIZE = 65536  # texts; hundreds of thousands of options contain only a few hundred
PRIOR_WEIGHT = 1.0  # additive smoothing: number of pseudo-observations of a text, correct at chance level


class Meaning(NamedTuple):
    """The meaning of an option, independent of its spelling."""

    text: str  # in the vocabulary's spelling; the normal form if it contains no term
    terms: frozenset[Term]  # empty if it contains none
    repeats: bool  # whether a term is repeated


@lru_cache(maxsize=CACHE_SIZE)
def meaning(slug: str, option: str) -> Meaning:
    """Meaning of an option of the dimension with this slug."""
    dimension = dimension_named(slug)
    try:
        label = dimension.parse(option)
    except UnknownTerm:
        return Meaning(normal_form(option), frozenset(), repeats=False)
    return Meaning(str(dimension.canonical(label)), label.terms, bool(label.repeated_terms))


def fold_of(medium: str, folds: int = FOLDS) -> int:
    """Fold of all questions about a medium, from 0 to `folds` - 1."""
    return int.from_bytes(hashlib.sha256(medium.encode()).digest()[:8], "big") % folds


def blind_letters(items: Sequence[QAItem], folds: int = FOLDS) -> list[str]:
    """Predict a letter for each item: the option that is most often correct when offered, in the other folds.

    Texts are counted per dimension, ignoring case and punctuation (`normal_form`). The first option wins a tie.
    """
    with_fold = [(item, fold_of(item.medium, folds)) for item in items]
    offered: Counter[tuple[str, str]] = Counter()
    right: Counter[tuple[str, str]] = Counter()
    offered_in: defaultdict[int, Counter[tuple[str, str]]] = defaultdict(Counter)
    right_in: defaultdict[int, Counter[tuple[str, str]]] = defaultdict(Counter)
    for item, fold in with_fold:
        offered_in[fold].update(_option_texts(item))
        right_in[fold][_option_text(item, item.gold)] += 1
    for fold in offered_in:
        offered.update(offered_in[fold])
        right.update(right_in[fold])

    def prior(item: QAItem, fold: int, letter: str) -> float:
        text = _option_text(item, item.choices[letter])
        hits = right[text] - right_in[fold][text]
        return (hits + PRIOR_WEIGHT / len(item.options)) / (offered[text] - offered_in[fold][text] + PRIOR_WEIGHT)

    return [max(item.letters, key=lambda letter: prior(item, fold, letter)) for item, fold in with_fold]


def chance(items: Sequence[QAItem]) -> float:
    """Expected accuracy of a uniform guess among the options; raises `ValueError` if there are no items."""
    if not items:
        raise ValueError("no items to guess")
    return sum(1 / len(item.options) for item in items) / len(items)


def _option_texts(item: QAItem) -> list[tuple[str, str]]:
    return [_option_text(item, option) for option in item.options]


def _option_text(item: QAItem, option: str) -> tuple[str, str]:
    return item.dimension, _normal_form(option)


_normal_form = lru_cache(maxsize=CACHE_SIZE)(normal_form)
