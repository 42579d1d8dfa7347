"""What a training step says of each dimension: figures from the responses that were just trained on.

    train/acc/<dimension>, train/acc/mean      share of right answers
    train/<key>                                mean of every other key of the reward (format, answered, …)
    train/response_length/<dimension>          tokens
    train/groups_with_signal                   share of groups whose responses did not all earn the same: the others
                                               give no gradient
    train/responses_lost                       responses that were asked for and never came; a reward or a rollout
                                               that raises loses them, and verl only writes a line about it

verl logs the score alone while training and the keys of the reward only in validation. Owns the arithmetic;
`dimension_trainer.py` fetches the batch and logs.

Standard library only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple


class Rollout(NamedTuple):
    """One response of a training batch."""

    group: str  # the prompt it answers
    data_source: str  # "<source>/<dimension>"
    score: float
    tokens: int
    rewards: Mapping[str, object]  # what the reward returned besides

    @property
    def dimension(self) -> str:
        """Slug of the dimension, whatever the source."""
        return self.data_source.rpartition("/")[2]


def dimension_metrics(rollouts: Sequence[Rollout], asked_for: int) -> dict[str, float]:
    """Figures of one step under the names they are logged by."""
    figures = {"train/responses_lost": float(asked_for - len(rollouts))}
    if not rollouts:
        return figures
    figures["train/groups_with_signal"] = groups_with_signal(rollouts)
    for dimension, own in sorted(_by(rollouts, "dimension").items()):
        figures[f"train/response_length/{dimension}"] = fmean(rollout.tokens for rollout in own)
        if right := _numbers(own, "acc"):
            figures[f"train/acc/{dimension}"] = fmean(right)
    for key in sorted({key for rollout in rollouts for key in rollout.rewards}):
        if values := _numbers(rollouts, key):
            figures["train/acc/mean" if key == "acc" else f"train/{key}"] = fmean(values)
    return figures


def groups_with_signal(rollouts: Iterable[Rollout]) -> float:
    """Share of groups in which not all responses earned the same; a group of one has nothing to compare with."""
    groups = _by(rollouts, "group").values()
    return fmean(len({rollout.score for rollout in group}) > 1 for group in groups)


def _by(rollouts: Iterable[Rollout], name: str) -> dict[str, list[Rollout]]:
    sorted_out: dict[str, list[Rollout]] = defaultdict(list)
    for rollout in rollouts:
        sorted_out[getattr(rollout, name)].append(rollout)
    return sorted_out


def _numbers(rollouts: Iterable[Rollout], key: str) -> list[float]:
    """Values of a key of the reward where they are numbers."""
    values = (rollout.rewards.get(key) for rollout in rollouts)
    return [float(value) for value in values if isinstance(value, int | float)]
