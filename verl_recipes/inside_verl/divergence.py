"""Stop a run that diverges: count steps whose gradient norm is not finite, and never save weights that are not finite.

If the gradient norm of an update is nan or infinite, verl's FSDP engine skips the optimizer step, so that the weights
stay as they are, advances the learning rate as usual and continues; the only trace is a line of each worker. One bad
batch does no harm that way. After many such steps in a row nothing is learned any more.

    train/nonfinite_steps         logged with every step: number of such steps since the trainer was started. In GRPO a
                                  step counts if any of its mini-batches does
    trainer.max_nonfinite_steps   a run ends if more consecutive steps than this have no finite gradient norm (null: it
                                  never ends); that step is logged but not saved

If the norm is not finite because the weights are not, the run ends at once (`check_weights`): such weights would give
no finite gradient again, and a checkpoint of them could not be resumed.
"""

from __future__ import annotations

import logging
import math
from typing import Any

METRIC = "train/nonfinite_steps"
ENGINE_MODULE = "verl.workers.engine.fsdp.transformer_impl"
logger = logging.getLogger(__name__)


class TrainingDiverged(RuntimeError):
    """The gradient norm was not finite in too many consecutive steps, or the weights are not finite."""


class NonFiniteSteps:
    """Counts the steps of a trainer whose gradient norm is not finite."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit  # of consecutive steps
        self._total = 0
        self._consecutive = 0

    def count(self, step: int, grad_norm: float) -> dict[str, float]:
        """Count a step and return the metric to log with it."""
        if math.isfinite(grad_norm):
            self._consecutive = 0
        else:
            self._total += 1
            self._consecutive += 1
            logger.warning(
                f"step {step}: the gradient norm is {grad_norm}, the update was skipped ({self._consecutive} in a row)"
            )
        return {METRIC: float(self._total)}

    def check(self, step: int) -> None:
        """Raise `TrainingDiverged` if there were more consecutive steps than the limit; `step` is the last one."""
        if self._limit is not None and self._consecutive > self._limit:
            raise TrainingDiverged(
                f"the gradient norm was not finite in {self._consecutive} consecutive steps, up to step {step} "
                f"(trainer.max_nonfinite_steps={self._limit}); the last checkpoint is from before. Lower the learning "
                "rate, or look for a broken row or reward"
            )


def guard_engine(module: Any) -> None:
    """Patch verl's FSDP engine (`ENGINE_MODULE`) to check its weights when an update has no finite gradient norm."""
    engine = module.FSDPEngine
    original = engine.optimizer_step

    def optimizer_step(self: Any) -> float:
        norm = float(original(self))
        if not math.isfinite(norm):
            check_weights(self.module)
        return norm

    engine.optimizer_step = optimizer_step


def check_weights(model: Any) -> None:
    """Raise `TrainingDiverged` in all workers if a weight of any worker's part of the model is not finite.

    All workers must call this: they exchange the result, so that none waits for one that has raised.
    """
    import torch
    from torch import distributed

    parts = ((name, getattr(weight, "_local_tensor", weight)) for name, weight in model.named_parameters())
    broken = [name for name, part in parts if not torch.isfinite(part).all()]
    found = torch.tensor(len(broken))
    if distributed.is_initialized():
        distributed.all_reduce(found)
    if found:
        example = f", such as {broken[0]}" if broken else ""
        raise TrainingDiverged(
            f"weights are nan or infinite{example}; they are not saved, the last checkpoint is from before. Lower the "
            "learning rate"
        )
