"""Estimate the disk space for a run's checkpoints and its merged model.

In bytes, for P parameters, T of them trained, and R ranks:

    a checkpoint    (P - T) * w + T * t
                                        w: 4 in fp32 (verl's default), 2 in bf16; t: w, but 4 for adapters in FSDP2
                    + T * 2t            two moments of Adam
                    + tensors * R * h   h: header of a tensor in a file of torch.save
                    + R * 16 kB         random states
                    + the model's files other than weights
    merged model    P * 2               bf16

The peak is either the largest number of checkpoints while training, or those that are left and the merged model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from verl_recipes.preflight.estimates import HALF, amount, weight_bytes
from verl_recipes.preflight.model_size import ModelSize
from verl_recipes.recipes import workers

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Disk:
    """Disk space for checkpoints and the merged model, in bytes."""

    checkpoint: int
    most: int  # checkpoints at one time while training
    kept: int  # checkpoints at the end
    merged: int  # a merged copy, written after training

    @property
    def total(self) -> int:
        """Maximum disk space in use at one time."""
        return max(self.checkpoint * self.most, self.checkpoint * self.kept + self.merged)

    def __str__(self) -> str:
        training = f"{self.most} x {amount(self.checkpoint)} for checkpoints while training"
        after = f"{self.kept} x {amount(self.checkpoint)} and {amount(self.merged)} for a merged copy afterwards"
        return f"{amount(self.total)} ({training}; {after})"


@dataclass(frozen=True)
class SavedSteps:
    """Steps of a run, and the checkpoints that it has already."""

    total: int
    per_epoch: int
    done: int = 0  # step of the newest checkpoint
    checkpoints: int = 0  # on disk


RANK_STATE = 16_000  # random states and scheduler of a worker
HEADERS = {"model": 600, "optimizer": 1150}  # name, shape and alignment of a tensor in each worker's files, measured


def disk(config: DictConfig, method: str, size: ModelSize, steps: SavedSteps, small_files: int) -> Disk:
    """Estimate the disk space of a run's checkpoints and of the merged model in bf16.

    Args:
        config: Composed configuration of the run.
        method: `sft`, `cot_sft` or `grpo`.
        size: Parameter counts of the model.
        steps: Steps of the run.
        small_files: Size in bytes of the model's files without its weights, which are part of each checkpoint.
    """
    part = config.actor_rollout_ref.actor if method == "grpo" else config
    engine = part.fsdp_config if method == "grpo" else part.engine
    frozen, trained = weight_bytes(engine, config.actor_rollout_ref.model if method == "grpo" else config.model)
    merged = size.parameters * HALF
    ranks = workers(config)
    bytes_of = {
        "model": (size.parameters - size.trained) * frozen + size.trained * trained,
        "optimizer": size.trained * 2 * trained,
        "extra": RANK_STATE * ranks,
        "hf_model": merged,
    }
    contents = part.checkpoint.save_contents
    headers = size.tensors * ranks * sum(HEADERS.get(content, 0) for content in contents)
    one = small_files + headers + sum(bytes_of.get(content, 0) for content in contents)
    saves = steps.checkpoints + _saves(config, method, steps)
    limit = most_kept(config, method)
    # The one that is written replaces another, but the only one stays until the new one is complete.
    most, kept = (min(saves, max(limit, 2)), min(saves, limit)) if limit else (saves, saves)
    return Disk(one, most, kept, merged + small_files if kept else 0)


def _saves(config: DictConfig, method: str, steps: SavedSteps) -> int:
    """Number of checkpoints that the rest of the run writes."""
    interval = config.trainer.save_freq
    if not isinstance(interval, int):  # SFT's after_each_epoch
        interval = steps.per_epoch
    if steps.done >= steps.total:
        return 0
    if interval <= 0:
        return int(method != "grpo")  # SFT saves its last step in any case
    return steps.total // interval - steps.done // interval + (steps.total % interval > 0)


def most_kept(config: DictConfig, method: str) -> int | None:
    """Maximum number of checkpoints that the configuration keeps; None if it keeps all."""
    limit = config.trainer.get("max_actor_ckpt_to_keep" if method == "grpo" else "max_ckpt_to_keep")
    return limit if isinstance(limit, int) and limit > 0 else None


def existing_steps(folder: Path) -> list[int]:
    """Steps of the checkpoints that a folder already contains, in ascending order."""
    names = (path.name.removeprefix("global_step_") for path in folder.glob("global_step_*"))
    return sorted(int(name) for name in names if name.isdecimal())


def existing_bytes(folder: Path) -> int:
    """Size in bytes of the checkpoints that a folder already contains."""
    return sum(file.stat().st_size for file in folder.glob("global_step_*/**/*") if file.is_file())
