"""Training metrics per dimension, computed from the responses of a training step.

    train/acc/<dimension>, train/acc/mean      share of correct answers
    train/<key>                                mean of every other key of the reward (format, answered, …)
    train/response_length/<dimension>          tokens
    train/groups_with_signal                   share of groups (responses to one prompt) whose rewards differ; the other
                                               groups give no gradient
    train/responses_lost                       number of requested responses that are missing: verl drops a response
                                               whose reward or rollout raises, and only writes a log line

Without these, verl logs only the score during training, and the other keys of the reward only in validation. This
module computes the metrics; `dimension_trainer.py` fetches the batch and logs them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple


class Rollout(NamedTuple):
    """One response of a training batch."""

    group: str  # id of its prompt
    data_source: str  # "<source>/<dimension>"
    score: float
    tokens: int
    rewards: Mapping[str, object]  # all keys the reward returned

    @property
    def dimension(self) -> str:
        """Slug of the dimension, without the source."""
        return self.data_source.rpartition("/")[2]


def dimension_metrics(rollouts: Sequence[Rollout], requested: int) -> dict[str, float]:
    """Metrics of one step by logged name; only `train/responses_lost` if there are no responses.

    Args:
        rollouts: Responses of the step.
        requested: Number of responses that the step requested.
    """
    metrics = {"train/responses_lost": float(requested - len(rollouts))}
    if not rollouts:
        return metrics
    metrics["train/groups_with_signal"] = groups_with_signal(rollouts)
    for dimension, group in sorted(_grouped_by(rollouts, "dimension").items()):
        metrics[f"train/response_length/{dimension}"] = fmean(rollout.tokens for rollout in group)
        if correct := _numbers(group, "acc"):
            metrics[f"train/acc/{dimension}"] = fmean(correct)
    for key in sorted({key for rollout in rollouts for key in rollout.rewards}):
        if values := _numbers(rollouts, key):
            metrics["train/acc/mean" if key == "acc" else f"train/{key}"] = fmean(values)
    return metrics


def groups_with_signal(rollouts: Iterable[Rollout]) -> float:
    """Share of groups (0 to 1) whose responses have different rewards; a group of one response counts as equal."""
    groups = _grouped_by(rollouts, "group").values()
    return fmean(len({rollout.score for rollout in group}) > 1 for group in groups)


def _grouped_by(rollouts: Iterable[Rollout], name: str) -> dict[str, list[Rollout]]:
    groups: dict[str, list[Rollout]] = defaultdict(list)
    for rollout in rollouts:
        groups[getattr(rollout, name)].append(rollout)
    return groups


def _numbers(rollouts: Iterable[Rollout], key: str) -> list[float]:
    """Numeric values of a key of the reward; others are left out."""
    values = (rollout.rewards.get(key) for rollout in rollouts)
    return [float(value) for value in values if isinstance(value, int | float)]
