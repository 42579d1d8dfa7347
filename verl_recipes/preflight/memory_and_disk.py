"""Compare the estimates of GPU memory (`estimates.py`) and disk space (`checkpoint_space.py`) with the machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from verl_recipes.preflight import estimates
from verl_recipes.preflight.checkpoint_space import Disk, existing_bytes
from verl_recipes.preflight.estimates import amount
from verl_recipes.preflight.problem import Problem

if TYPE_CHECKING:
    from omegaconf import DictConfig

LESS_MEMORY = (
    "Take more GPUs, smaller micro batches (or max_token_len_per_gpu), gradient checkpointing, fused kernels, "
    "offloading of parameters and optimizer, or LoRA (--recipe 3b_lora)"
)
GPU_ROLLOUTS = ("vllm", "sglang")  # rollout engines that reserve a share of the GPU memory


def card_bytes() -> int | None:
    """Memory of this machine's smallest GPU in bytes, or None without a GPU."""
    import torch

    cards = range(torch.cuda.device_count())
    return min((torch.cuda.get_device_properties(card).total_memory for card in cards), default=None)


def memory_notes(config: DictConfig, method: str, memory: estimates.Memory) -> Iterator[str]:
    """Yield the estimate in words, term by term."""
    yield f"memory of a worker while training: {amount(memory.peak)} = " + " + ".join(map(str, memory.training))
    if method == "grpo":
        kept = " + ".join(map(str, memory.rollout))
        share = config.actor_rollout_ref.rollout.gpu_memory_utilization
        yield f"memory of a worker next to the rollout's {share:.0%}: {amount(memory.during_rollout)} = {kept}"
    if memory.sending:
        yield f"memory of a worker while it sends adapters: {amount(memory.while_sending)} = " + " + ".join(
            map(str, memory.sending)
        )


def gpu_memory_problems(config: DictConfig, method: str, memory: estimates.Memory, card: int) -> Iterator[Problem]:
    """Yield a problem for each phase that needs more memory than a GPU has; `card` is the GPU's memory in bytes."""
    share = 0
    if method == "grpo" and config.actor_rollout_ref.rollout.name in GPU_ROLLOUTS:
        rollout = config.actor_rollout_ref.rollout
        share = int(rollout.gpu_memory_utilization * card)
        if memory.during_rollout + share > card:
            both = f"{amount(share)} of the rollout and {amount(memory.during_rollout)} of the trainer"
            step = f"Lower actor_rollout_ref.rollout.gpu_memory_utilization. {LESS_MEMORY}"
            yield Problem(f"while responses are generated, {both} do not fit into {amount(card)}", "the card", step)
        if memory.while_sending > card:
            both = f"the trainer's and the rollout's weights take {amount(memory.while_sending)}"
            step = f"Set actor_rollout_ref.actor.fsdp_config.model_dtype=bf16 for the frozen base model. {LESS_MEMORY}"
            yield Problem(f"while adapters are sent, {both} of a card of {amount(card)}", "the card", step)
        share = 0 if rollout.free_cache_engine else share
    if memory.peak + share > card:
        largest = max(memory.training, key=lambda term: term.bytes)
        what = f"training takes about {amount(memory.peak + share)} of a card of {amount(card)}, most of it {largest}"
        yield Problem(what, "the card", LESS_MEMORY)


def disk_problems(folder: Path, disk: Disk, free: int | None = None) -> Iterator[Problem]:
    """Yield a problem if the disk would be full before the training ends.

    Args:
        folder: Folder of the checkpoints; need not exist.
        disk: Estimated disk space of the run.
        free: Free space in bytes; by default that of the disk of `folder`.
    """
    existing = existing_bytes(folder)
    if free is None:
        free = shutil.disk_usage(next(path for path in (folder, *folder.absolute().parents) if path.exists())).free
    missing = disk.total - existing - free
    if missing > 0:
        what = f"checkpoints take {disk}, {amount(free)} are free and {amount(missing)} missing"
        step = "Free space, choose another --out, keep fewer (trainer.max_actor_ckpt_to_keep, max_ckpt_to_keep of SFT)"
        yield Problem(what, str(folder), step)
