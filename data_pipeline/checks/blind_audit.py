"""Blind accuracy: the accuracy of guessing by option frequencies alone, without the media, and a threshold for it.

Owns the threshold ("gate"). The guess is made in `lmms_eval_shotbench/scoring/option_prior.py`, out of fold: it uses
the frequencies in the other questions, not the question itself.

A dimension fails if the lower end of the 95 % confidence interval of its blind accuracy is more than `margin` above
chance. So a small set does not fail by chance, and a large one is held to the margin; a dimension with fewer than 20
questions never fails. The default margin is 5 percentage points, a fifth of chance with four options; camera movement
in ShotBench is 27 points above chance.

Accuracy *below* chance is expected: with exactly balanced answers, each answer is rarer among the other questions, so
the guess is biased away from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.scoring.metrics import Estimate, accuracy
from lmms_eval_shotbench.scoring.option_prior import chance
from lmms_eval_shotbench.scoring.prior_aware import blind_graded
from lmms_eval_shotbench.vocabulary import DIMENSIONS

MARGIN = 0.05
FEWEST = 20  # minimum number of questions for a failure; among 8 dimensions in 4 splits, fewer could fail by chance
ALL_SPLITS = "all"


@dataclass(frozen=True, slots=True)
class BlindAccuracy:
    """Blind accuracy in one dimension, of one split or over all splits."""

    split: str
    dimension: str  # slug
    accuracy: Estimate
    chance: float

    def passes(self, margin: float) -> bool:
        """Return whether the accuracy is not significantly more than `margin` (a fraction) above chance."""
        return self.accuracy.n < FEWEST or self.accuracy.low <= self.chance + margin


def audit_blind(items: Mapping[str, Sequence[QAItem]]) -> list[BlindAccuracy]:
    """Measure the blind accuracy of each dimension, over all splits and in each split.

    Args:
        items: Questions by split.
    """
    all_items = [item for split in items.values() for item in split]
    groups = {ALL_SPLITS: all_items} | (dict(items) if len(items) > 1 else {})
    return [
        BlindAccuracy(split, dimension.slug, accuracy(blind_graded(asked)), chance(asked))
        for split, group in groups.items()
        for dimension in DIMENSIONS
        if (asked := [item for item in group if item.dimension == dimension.slug])
    ]
