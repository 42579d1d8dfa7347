"""Estimate the host memory that the pixel values of a training step take, and compare it with the machine's.

    bytes of a row     media tokens * merge² * 3 * frames per patch * patch size² * 4 (float32)
    GRPO, a step       rows of a batch, in Ray's object store, as the recipes share them among a prompt's responses;
                       times n with verl's own agent loop manager, whose transfer queue keeps a copy with each response
    SFT, a step        rows of a batch * (1 + 2 * loader workers): the batch, and those that the loaders prepare

These are the values before any copy. While they are sent, senders and receivers have copies as well: the peak is about
double.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from verl_recipes.preflight.estimates import amount
from verl_recipes.preflight.problem import Problem

if TYPE_CHECKING:
    from omegaconf import DictConfig

FLOAT, CHANNELS = 4, 3
PREFETCHED = 2  # batches that PyTorch's loader prepares per worker
WHERE = "this machine's memory"


@dataclass(frozen=True)
class PixelValues:
    """Bytes of the pixel values of a step: of an average one, and of one with the largest rows of all."""

    mean: int
    most: int
    formula: str

    def __str__(self) -> str:
        return f"{amount(self.mean)} a step on average, up to {amount(self.most)} ({self.formula})"


def pixel_values(config: DictConfig, method: str, media_tokens: Sequence[int], processor: Any) -> PixelValues:
    """Estimate the pixel values of a step.

    Args:
        config: Composed configuration of the run.
        method: `sft`, `cot_sft` or `grpo`.
        media_tokens: Number of media tokens of each training row.
        processor: transformers' processor of the model.
    """
    part = processor.image_processor
    patch = CHANNELS * part.temporal_patch_size * part.patch_size**2 * FLOAT
    token = part.merge_size**2 * patch
    batch = config.data.train_batch_size
    if method == "grpo":
        rollout = config.actor_rollout_ref.rollout
        shared = bool(rollout.agent.agent_loop_manager_class)
        copies, name = (1, "prompt") if shared else (rollout.n, "responses")
    else:
        copies, name = 1 + PREFETCHED * config.data.get("num_workers", 0), "batches in the loaders"
    largest = sorted(media_tokens, reverse=True)[:batch]
    mean = int(sum(media_tokens) / max(len(media_tokens), 1) * batch)
    row = amount(largest[0] * token) if largest else amount(0)
    formula = f"{batch:,} rows of up to {row}, x {copies:,} {name}"
    return PixelValues(mean * token * copies, sum(largest) * token * copies, formula)


def machine_bytes() -> int:
    """Memory of this machine in bytes."""
    import psutil

    return int(psutil.virtual_memory().total)


def host_memory_problems(values: PixelValues, method: str, machine: int) -> Iterator[Problem]:
    """Yield a problem if an average step does not fit into the machine's memory of `machine` bytes."""
    if values.mean > machine:
        batch = "data.train_batch_size" if method == "grpo" else "data.num_workers"
        what = f"the pixel values of a step take {values}; the machine has {amount(machine)}"
        yield Problem(what, WHERE, f"Lower {batch} or the maximum pixels and frames per second, or take more nodes")


def memory_note(values: PixelValues, machine: int | None) -> str:
    """The estimate in words, with a warning if a large step could fill the machine's memory."""
    note = f"host memory of pixel values: {values}"
    if machine and 2 * values.most > machine:  # with the copies that are under way
        note += f"; with the copies under way, large steps may not fit into the {amount(machine)} of this machine"
    return note
