"""Agreement of two runs: how often they give the same letter, and who is right when they do and when they do not.

Two letters that are the same are both right or both wrong, so all that distinguishes the runs is in the other items.
An undecided answer agrees with none. Of several samples of an item, its letter is their majority vote.

Pure functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lmms_eval_shotbench.scoring.metrics import Estimate, clustered_mean
from lmms_eval_shotbench.scoring.paired import mcnemar


class Letters(NamedTuple):
    """The letters that two runs gave to one item; None is undecided."""

    medium: str
    answer: str
    a: str | None
    b: str | None

    @property
    def same(self) -> bool:
        """Whether both gave the same letter."""
        return self.a is not None and self.a == self.b


@dataclass(frozen=True)
class Agreement:
    """Counts of items and shares of them, with 95 % intervals clustered by medium."""

    n: int
    share: Estimate  # of items to which both gave the same letter
    same: int
    right: Estimate | None  # share of those whose letter is right; None if there are none
    differ: int  # other items: different letters, or undecided
    only_a: int  # items of these that A answered correctly
    only_b: int
    neither: int
    p: float  # of the exact McNemar test of `only_a` against `only_b`


def agreement(letters: Sequence[Letters]) -> Agreement:
    """Compute the agreement of two runs; raises `ValueError` if there are no items."""
    if not letters:
        raise ValueError("no items to compare")
    same = [one for one in letters if one.same]
    differ = [one for one in letters if not one.same]
    only_a, only_b = sum(one.a == one.answer for one in differ), sum(one.b == one.answer for one in differ)
    return Agreement(
        n=len(letters),
        share=_share(letters, [one.same for one in letters]),
        same=len(same),
        right=_share(same, [one.a == one.answer for one in same]) if same else None,
        differ=len(differ),
        only_a=only_a,
        only_b=only_b,
        neither=len(differ) - only_a - only_b,
        p=mcnemar(only_b, only_a),
    )


def _share(letters: Sequence[Letters], holds: Sequence[bool]) -> Estimate:
    return clustered_mean(list(map(float, holds)), [one.medium for one in letters])
