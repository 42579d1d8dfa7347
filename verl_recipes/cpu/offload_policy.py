"""Patch FSDP2 not to use pinned memory for offloaded parameters, which requires an accelerator.

verl's engine for the reference model uses FSDP2's `CPUOffloadPolicy(pin_memory=True)` on any device. Without an
accelerator torch raises an error when the first parameter is moved.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

MODULE = "torch.distributed.fsdp"


def apply(fsdp: ModuleType) -> None:
    """Patch `CPUOffloadPolicy` to ignore `pin_memory`."""
    original = fsdp.CPUOffloadPolicy.__init__

    @functools.wraps(original)
    def unpinned(self: Any, pin_memory: bool = False) -> None:
        original(self, pin_memory=False)

    fsdp.CPUOffloadPolicy.__init__ = unpinned  # not a subclass: verl and torch hold references to this class


def still_needed() -> bool:
    """Whether verl still requests pinned memory and torch still cannot pin memory."""
    import inspect

    from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

    requested = "CPUOffloadPolicy(pin_memory=True)" in inspect.getsource(FSDPEngine)
    return requested and _torch_cannot_pin()


def _torch_cannot_pin() -> bool:
    import torch

    try:
        torch.empty(1).pin_memory()
    except RuntimeError:
        return True
    return False
