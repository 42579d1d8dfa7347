"""verl's synchronous trainer with metrics per dimension: `trainer.v1.trainer_mode=shotbench_sync`.

verl looks up the trainer class in a registry by this mode, and `plugin.py` registers `DimensionTrainer` in every
process. The metrics are those of `dimension_metrics.py`; they go to every configured logger. The trainer also stops
when requested (`stop_request.py`), ends a run that diverges (`divergence.py`) or whose rollout servers hang
(`rollout_watch.py`), rotates checkpoints as `checkpoint_rotation.py` explains, keeps responses in the run folder
(`completions.py`), and checks for finished responses more often than verl does, every two seconds: a step of a tiny
recipe takes about one.

This module imports verl and TransferQueue, so only verl's processes import it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transfer_queue
from omegaconf import DictConfig, open_dict
from verl.trainer.ppo.v1 import PPOTrainerSync, register_trainer

from lmms_eval_shotbench.runs.completions import KINDS, Kind
from verl_recipes.inside_verl import completions
from verl_recipes.inside_verl.checkpoint_rotation import rotated
from verl_recipes.inside_verl.dimension_metrics import Rollout, dimension_metrics
from verl_recipes.inside_verl.divergence import NonFiniteSteps, TrainingDiverged
from verl_recipes.inside_verl.rollout_watch import time_limit, watch_rollouts
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
            watch_rollouts(self.replay_buffer, self._timeout)
        kept = config.trainer.get("completions") or {}
        self._rollout_groups = kept.get("rollout_groups", 0)
        self._completion_files = {
            kind: completions.CompletionFile(Path(kept[kind])) for kind in KINDS if kept.get(kind)
        }
        self._not_kept: set[Kind] = set()
        self._keep_validation()

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
        if self._rollout_groups:
            self._keep_completions("rollouts", batch)

    def _keep_validation(self) -> None:
        """Keep the responses that the replay buffer returns to verl's validation, which removes them at its end."""
        sample = self.replay_buffer.sample

        def sample_and_keep(*args: Any, partition_id: str, **kwargs: Any) -> Any:
            batch, metrics = sample(*args, partition_id=partition_id, **kwargs)
            if partition_id == "val":
                self._keep_completions("validation", batch)
            return batch, metrics

        self.replay_buffer.sample = sample_and_keep

    def _keep_completions(self, kind: Kind, batch: Any) -> None:
        """Write completions of a batch to their file; a full disk or another error is reported once."""
        if kind not in self._completion_files:
            return
        try:
            keys = list(_without_padding(batch))
            if kind == "rollouts":
                extra = _fetch(batch, keys, ["extra_info"])["extra_info"]
                item_ids = dict(zip(keys, map(completions.item_id_of, extra), strict=True))
                keys = completions.sampled(item_ids, self.global_steps, self._rollout_groups)
            fields = _fetch(batch, keys, completions.FIELDS)
            stop_ids = {self.tokenizer.eos_token_id, self.tokenizer.pad_token_id}
            found = completions.completions_from(self.global_steps, keys, fields, self._decode, stop_ids)
            self._completion_files[kind].append(list(found))
        except Exception as error:  # the same as for metrics
            if kind not in self._not_kept:
                self._not_kept.add(kind)
                logger.warning(f"completions ({kind}) are not kept, reported once: {type(error).__name__}: {error}")

    def _decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

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
    tags = _without_padding(batch)
    return rollouts_from(tags, _fetch(batch, list(tags), FIELDS)) if tags else []


def _without_padding(batch: Any) -> dict[str, Mapping[str, Any]]:
    """Tags of the rows of a batch by key, without padding rows."""
    return {key: tag for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)}


def _fetch(batch: Any, keys: list[str], fields: list[str]) -> dict[str, list[Any]]:
    """Fetch fields of rows from TransferQueue, each as a list in the order of the keys."""
    found = transfer_queue.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=fields)
    return {name: _values(found[name]) for name in fields}


def rollouts_from(tags: Mapping[str, Mapping[str, Any]], fields: Mapping[str, Any]) -> list[Rollout]:
    """Build the responses of a step from what verl's agent loop wrote, in the order of `tags`.

    Args:
        tags: By key `<prompt>_<session>_<output>`; `response_len` is the number of tokens.
        fields: `FIELDS` of the same rows; the sum of the tensor `rm_scores` of a row is its score.
    """
    columns = (fields[name] for name in FIELDS)
    return [
        Rollout(
            group=key.rsplit("_", 2)[0],  # <prompt>_<session>_<output>
            data_source=str(source),
            score=float(score.sum()),
            tokens=int(tag["response_len"]),
            rewards=dict(more.get("reward_extra_info", {})),
        )
        for (key, tag), source, more, score in zip(tags.items(), *columns, strict=True)
    ]


def _values(field: Any) -> list[Any]:
    """A field as a plain list of its rows; not all column types of TransferQueue have `tolist`."""
    if isinstance(field, torch.Tensor):
        return list(field.unbind())
    return list(field.tolist() if hasattr(field, "tolist") else field)
