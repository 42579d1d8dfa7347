"""Parameters offloaded to the host are not pinned where there is nothing to pin them for.

verl's engine for the reference model asks FSDP2 for `CPUOffloadPolicy(pin_memory=True)` whatever the device. Pinned
memory belongs to an accelerator: without one, torch raises as soon as the first parameter is moved.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

MODULE = "torch.distributed.fsdp"


def apply(fsdp: ModuleType) -> None:
    """Build every offload policy without pinned memory."""
    original = fsdp.CPUOffloadPolicy.__init__

    @functools.wraps(original)
    def unpinned(self: Any, pin_memory: bool = False) -> None:
        original(self, pin_memory=False)

    fsdp.CPUOffloadPolicy.__init__ = unpinned  # in place: verl and torch hold the class itself


def still_needed() -> bool:
    """Whether verl still asks for pinned memory and torch still has none to give."""
    import inspect

    from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

    asks = "CPUOffloadPolicy(pin_memory=True)" in inspect.getsource(FSDPEngine)
    return asks and _torch_cannot_pin()


def _torch_cannot_pin() -> bool:
    import torch

    try:
        torch.empty(1).pin_memory()
    except RuntimeError:
        return True
    return False
