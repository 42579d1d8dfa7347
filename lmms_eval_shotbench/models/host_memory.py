"""How many tokens of media an engine may keep in host memory: prepared ahead, waiting, or in a request that runs."""

from __future__ import annotations

import os
from pathlib import Path

from lmms_eval_shotbench.qwen.inputs import CHANNELS, PatchRule

CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")  # bytes, or "max"
MEMORY_SHARE = 4  # divisor of the available memory
MIN_TOKENS = 1024


def tokens_in_host_memory(rule: PatchRule, bytes_a_value: int, most_bytes: int) -> int:
    """Return the number of prompt tokens whose media may be in host memory at once.

    Args:
        rule: How media are cut into patches, of which each token stands for several.
        bytes_a_value: Bytes for each value of a pixel, summed over the copies that exist at once.
        most_bytes: Maximum for this process. It gets a share of the available memory, divided among the ranks of this
            machine, if that is less.
    """
    values_a_token = rule.merge**2 * CHANNELS * rule.frames * rule.side**2
    share = available_memory() // MEMORY_SHARE // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return max(MIN_TOKENS, min(share, most_bytes) // (values_a_token * bytes_a_value))


def available_memory() -> int:
    """Return the memory in bytes that can be allocated without swapping, at most the limit of the container."""
    import psutil

    available = int(psutil.virtual_memory().available)
    limit = CONTAINER_LIMIT.read_text().strip() if CONTAINER_LIMIT.is_file() else ""
    return min(available, int(limit)) if limit.isdigit() else available
