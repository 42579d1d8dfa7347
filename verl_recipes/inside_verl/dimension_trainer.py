"""verl's synchronous trainer with metrics per dimension: `trainer.v1.trainer_mode=shotbench_sync`.

verl looks up the trainer class in a registry by this mode, and `plugin.py` registers `DimensionTrainer` in every
process. The metrics are those of `dimension_metrics.py`; they go to every configured logger. The trainer also stops
when requested (`stop_request.py`), ends a run that diverges (`divergence.py`) or whose rollout servers hang
(`rollout_watch.py`), rotates checkpoints as `checkpoint_rotation.py` explains, and checks for finished responses more
often than verl does, every two seconds: a step of a tiny recipe takes about one.

This module imports verl and TransferQueue, so only verl's processes import it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transfer_queue
from omegaconf import DictConfig, open_dict
from verl.trainer.ppo.v1 import PPOTrainerSync, register_trainer

from verl_recipes.inside_verl.checkpoint_rotation import rotated
from verl_recipes.inside_verl.dimension_metrics import Rollout, dimension_metrics
from verl_recipes.inside_verl.divergence import NonFiniteSteps, TrainingDiverged
from verl_recipes.inside_verl.rollout_watch import time_limit, watch
from verl_recipes.inside_verl.stop_request import stop_ppo_when_requested

TRAINER_MODE = "shotbench_sync"
POLL_SECONDS = 0.1  # a check is one request, so its cost is small beside any step
FIELDS = ["data_source", "extra_fields", "rm_scores"]
logger = logging.getLogger(__name__)


def register() -> None:
    """Register the trainer with verl; calling it again has no effect."""
    register_trainer(TRAINER_MODE)(DimensionTrainer)


class DimensionTrainer(PPOTrainerSync):  # type: ignore[misc]
    """The synchronous trainer with metrics per dimension."""

    def __init__(self, config: DictConfig) -> None:
        # verl checks for the mode "sync" in several modules (replay buffer, refilling, checkpoints). It must treat this
        # trainer as synchronous in all of them.
        self._checkpoint_limit = config.trainer.max_actor_ckpt_to_keep
        with open_dict(config):
            config.trainer.v1.trainer_mode = "sync"
            config.trainer.max_actor_ckpt_to_keep = None
        super().__init__(config)
        self.replay_buffer.poll_interval = POLL_SECONDS
        self._logged: set[str] = set()
        self._nonfinite_steps = NonFiniteSteps(config.trainer.get("max_nonfinite_steps"))
        self._timeout: float | None = config.trainer.get("rollout_timeout_s")
        if self._timeout is not None:
            watch(self.replay_buffer, self._timeout)

    def on_init_end(self) -> None:
        with time_limit(self._timeout, "sending the weights to the rollout servers"):
            super().on_init_end()

    def on_step_end(self) -> None:
        with time_limit(self._timeout, "sending the weights to the rollout servers"):
            super().on_step_end()

    def _update_actor(self, batch: Any, metrics: dict[str, Any]) -> Any:
        """Update the actor; verl saves and generates from the weights only after this call."""
        batch = super()._update_actor(batch, metrics)
        counted = self._nonfinite_steps.count(self.global_steps, metrics["actor/grad_norm"])
        try:
            self._nonfinite_steps.check(self.global_steps)
        except TrainingDiverged:
            self.logger.log(data=metrics | counted, step=self.global_steps)  # verl would log at the end of the step
            raise
        metrics.update(counted)
        return batch

    def step(self, metrics: dict[str, Any], timing_raw: dict[str, float]) -> Any:
        """Train one step, after which the run may stop."""
        batch = super().step(metrics, timing_raw)
        stop_ppo_when_requested(self)
        return batch

    def _save_checkpoint(self) -> None:
        with rotated(Path(self.config.trainer.default_local_dir), self._checkpoint_limit):
            super()._save_checkpoint()

    def _compute_metrics(self, batch: Any, metrics: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """Add our metrics to verl's; verl removes the batch from TransferQueue right after this call."""
        super()._compute_metrics(batch, metrics, *args, **kwargs)
        metrics.update(self._dimension_metrics(batch))

    def _dimension_metrics(self, batch: Any) -> dict[str, float]:
        requested = self.config.data.train_batch_size * self.config.actor_rollout_ref.rollout.n
        try:
            metrics = dimension_metrics(rollouts_of(batch), requested)
        except Exception as error:  # missing metrics must not end a run if verl's data format changes
            self._warn_once(f"no metrics per dimension: {type(error).__name__}: {error}")
            return {}
        if metrics["train/responses_lost"] > 0:
            self._warn_once(
                f"{metrics['train/responses_lost']:.0f} of {requested} responses of a step are missing; look for "
                "'Error in _run_prompt' above for the reason (train/responses_lost counts them from now on)"
            )
        return metrics

    def _warn_once(self, message: str) -> None:
        if message not in self._logged:
            self._logged.add(message)
            logger.warning(message)


def rollouts_of(batch: Any) -> list[Rollout]:
    """Fetch the responses of a step from TransferQueue, without padding rows.

    Args:
        batch: verl's handle of the batch, with `keys`, `tags` and `partition_id`.
    """
    tags = {key: tag for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)}
    if not tags:
        return []
    fields = transfer_queue.kv_batch_get(keys=list(tags), partition_id=batch.partition_id, select_fields=FIELDS)
    return rollouts_from(tags, fields)


def rollouts_from(tags: Mapping[str, Mapping[str, Any]], fields: Any) -> list[Rollout]:
    """Build the responses of a step from what verl's agent loop wrote, in the order of `tags`.

    Args:
        tags: By key `<prompt>_<session>_<output>`; `response_len` is the number of tokens.
        fields: `FIELDS` of the same rows; `rm_scores` is a nested float tensor (rows, tokens) whose sum over a row is
            the score.
    """
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
    """A field as a plain list; not all column types of TransferQueue have `tolist`."""
    return list(field.tolist() if hasattr(field, "tolist") else field)
