"""verl's synchronous trainer, which also logs each dimension: `trainer.v1.trainer_mode=shotbench_sync`.

verl chooses its trainer from a registry by that name, and `plugin.py` registers this one in every process. The figures
are those of `dimension_metrics.py`, in every logger that is configured.

Only verl's processes import this.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import transfer_queue
from omegaconf import DictConfig, open_dict
from verl.trainer.ppo.v1 import PPOTrainerSync, register_trainer

from verl_recipes.inside_verl.dimension_metrics import Rollout, dimension_metrics

TRAINER_MODE = "shotbench_sync"
FIELDS = ["data_source", "extra_fields", "rm_scores"]
logger = logging.getLogger(__name__)


def register() -> None:
    """Make the trainer known to verl; a second time does nothing."""
    register_trainer(TRAINER_MODE)(DimensionTrainer)


class DimensionTrainer(PPOTrainerSync):  # type: ignore[misc]
    """The synchronous trainer with figures of each dimension."""

    def __init__(self, config: DictConfig) -> None:
        # verl asks whether the mode is "sync" wherever the synchronous trainer differs from the others (replay buffer,
        # refilling, checkpoints), and in all of them this one is.
        with open_dict(config):
            config.trainer.v1.trainer_mode = "sync"
        super().__init__(config)
        self._told: set[str] = set()

    def _compute_metrics(self, batch: Any, metrics: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """verl's figures of a step, then ours. The batch is taken out of the queue right after."""
        super()._compute_metrics(batch, metrics, *args, **kwargs)
        metrics.update(self._dimension_metrics(batch))

    def _dimension_metrics(self, batch: Any) -> dict[str, float]:
        asked_for = self.config.data.train_batch_size * self.config.actor_rollout_ref.rollout.n
        try:
            figures = dimension_metrics(rollouts_of(batch), asked_for)
        except Exception as error:  # a run of days must not end over a figure, whatever a verl release renames
            self._tell_once(f"no figures of the dimensions: {type(error).__name__}: {error}")
            return {}
        if figures["train/responses_lost"] > 0:
            self._tell_once(
                f"{figures['train/responses_lost']:.0f} of {asked_for} responses of a step are lost; look for "
                "'Error in _run_prompt' above for the reason (train/responses_lost counts them from now on)"
            )
        return figures

    def _tell_once(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            logger.warning(message)


def rollouts_of(batch: Any) -> list[Rollout]:
    """The responses of a step, fetched from verl's queue; rows that only fill up a batch are left out."""
    own = {key: tag for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)}
    if not own:
        return []
    fields = transfer_queue.kv_batch_get(keys=list(own), partition_id=batch.partition_id, select_fields=FIELDS)
    return rollouts_from(own, fields)


def rollouts_from(tags: Mapping[str, Mapping[str, Any]], fields: Any) -> list[Rollout]:
    """The responses of a step from the fields and tags that verl's agent loop writes, in the order of the tags."""
    scores = fields["rm_scores"].unbind()
    sources, extra = _values(fields["data_source"]), _values(fields["extra_fields"])
    return [
        Rollout(
            group=key.rsplit("_", 2)[0],  # <prompt>_<session>_<output>
            data_source=str(source),
            score=float(score.sum()),
            tokens=int(tag["response_len"]),
            rewards=dict(more.get("reward_extra_info", {})),
        )
        for (key, tag), source, more, score in zip(tags.items(), sources, extra, scores, strict=True)
    ]


def _values(field: Any) -> list[Any]:
    """Plain values of a field: verl's queue hands out its own list types, not all of which have `tolist`."""
    return list(field.tolist() if hasattr(field, "tolist") else field)
