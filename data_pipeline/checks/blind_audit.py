"""Does a question set answer itself? Measures what option frequencies alone get right, and says when that is too much.

Owns the gate. The guess itself is `lmms_eval_shotbench/scoring/option_prior.py`, out of fold, so that it knows the
frequencies of the set but not the item.

The gate fails a dimension whose blind accuracy is for sure more than `margin` above chance: the lower end of its 95 %
interval is. So a small set is not failed by luck, and a large one has no more than the margin; fewer than 20 questions
say nothing. 5 points are a fifth of chance with four options; camera movement of ShotBench has 27.

Accuracy *below* chance is no fault. Where answers are balanced exactly, each answer makes itself rarer among the
others, and the guess is led away from it.
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
FEWEST = 20  # questions of a dimension; with eight dimensions and four splits, some few are all right by luck
ALL_SPLITS = "all"


@dataclass(frozen=True, slots=True)
class BlindAccuracy:
    """What is right without looking, in one dimension of one split or of all."""

    split: str
    dimension: str  # slug
    accuracy: Estimate
    chance: float

    def passes(self, margin: float) -> bool:
        """Whether it may be no more than the margin above chance."""
        return self.accuracy.n < FEWEST or self.accuracy.low <= self.chance + margin


def audit_blind(items: Mapping[str, Sequence[QAItem]]) -> list[BlindAccuracy]:
    """Measure every dimension, over all splits together and in each alone."""
    every = [item for split in items.values() for item in split]
    groups = {ALL_SPLITS: every} | (dict(items) if len(items) > 1 else {})
    return [
        BlindAccuracy(split, dimension.slug, accuracy(blind_graded(asked)), chance(asked))
        for split, some in groups.items()
        for dimension in DIMENSIONS
        if (asked := [item for item in some if item.dimension == dimension.slug])
    ]
