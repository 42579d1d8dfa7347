"""The number of tokens that fit in memory at once: from free memory at first, halved whenever memory runs out."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from lmms_eval_shotbench.models.batching import Planned, plan_batches
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint

Result = TypeVar("Result")
logger = logging.getLogger(__name__)
CPU_BATCH_TOKENS = 32_768
MAX_BATCH_TOKENS = 131_072  # larger batches do not increase GPU utilisation
# Substrings of the error messages of CUDA and of the CPU allocator
OUT_OF_MEMORY_MESSAGES = ("out of memory", "can't allocate memory", "not enough memory")


class TokenBudget:
    """Maximum of rows x (longest prompt + new tokens) per batch."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def within_memory(
        self, batch: list[Planned], new_tokens: int, run: Callable[[list[Planned]], Result]
    ) -> Iterator[tuple[list[Planned], Result | None]]:
        """Run a batch, in smaller batches if memory runs out.

        Yields:
            Parts of the batch with their results; None for a single prompt that does not fit.
        """
        for part in plan_batches(batch, self.tokens, new_tokens):
            result = _result_or_none(run, part)
            if result is not None or len(part) == 1:
                yield part, result
            else:
                longest = max(prompt.tokens for prompt in part) + new_tokens
                self.tokens = max(len(part) // 2, 1) * longest
                logger.warning("out of memory at %d prompts of up to %d tokens; batches are halved", len(part), longest)
                yield from self.within_memory(part, new_tokens, run)


def too_long(prompt: Planned) -> str:
    """Why a single prompt has no result."""
    return f"a prompt of {prompt.tokens} tokens needs more memory than there is"


def tokens_for_free_memory(checkpoint: Checkpoint) -> int:
    """Return the number of tokens that fit in half of the free memory; batches are halved if memory still runs out."""
    if checkpoint.device.type != "cuda":
        return CPU_BATCH_TOKENS
    free, _all = torch.cuda.mem_get_info(checkpoint.device)
    return max(min(int(free) // 2 // checkpoint.bytes_a_token, MAX_BATCH_TOKENS), 1)


def _result_or_none(run: Callable[[list[Planned]], Result], batch: list[Planned]) -> Result | None:
    """Run a batch; if memory ran out, free the batch's memory and return None."""
    try:
        return run(batch)
    except RuntimeError as error:  # includes torch.OutOfMemoryError
        if not any(message in str(error).lower() for message in OUT_OF_MEMORY_MESSAGES):
            raise
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None
