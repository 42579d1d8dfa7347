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
from collections import Counter
from collections.abc import Sequence

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import normal_form

FOLDS = 10
PRIOR_WEIGHT = 1.0  # offers an unseen text starts with, right as often as chance has it


def fold_of(medium: str) -> int:
    """The fold of all questions about this medium."""
    return int.from_bytes(hashlib.sha256(medium.encode()).digest()[:8], "big") % FOLDS


def blind_letters(items: Sequence[QAItem]) -> list[str]:
    """The letter of the option that was right most often where it was offered, in other folds; one for each item.

    Texts are counted by dimension, whatever their spelling. Of equal ones the first counts.
    """
    folds = [fold_of(item.medium) for item in items]
    offered: Counter[tuple[str, str]] = Counter()
    right: Counter[tuple[str, str]] = Counter()
    offered_in: list[Counter[tuple[str, str]]] = [Counter() for _ in range(FOLDS)]
    right_in: list[Counter[tuple[str, str]]] = [Counter() for _ in range(FOLDS)]
    for item, fold in zip(items, folds, strict=True):
        offered_in[fold].update(_texts(item))
        right_in[fold][_text(item, item.gold)] += 1
    for fold in range(FOLDS):
        offered.update(offered_in[fold])
        right.update(right_in[fold])

    def prior(item: QAItem, fold: int, letter: str) -> float:
        text = _text(item, item.choices[letter])
        hits = right[text] - right_in[fold][text]
        return (hits + PRIOR_WEIGHT / len(item.options)) / (offered[text] - offered_in[fold][text] + PRIOR_WEIGHT)

    return [
        max(item.letters, key=lambda letter: prior(item, fold, letter)) for item, fold in zip(items, folds, strict=True)
    ]


def chance(items: Sequence[QAItem]) -> float:
    """Accuracy of guessing among the options; raises `ValueError` where there are no items."""
    if not items:
        raise ValueError("no items to guess")
    return sum(1 / len(item.options) for item in items) / len(items)


def _texts(item: QAItem) -> list[tuple[str, str]]:
    return [_text(item, option) for option in item.options]


def _text(item: QAItem, option: str) -> tuple[str, str]:
    return item.dimension, normal_form(option)
