"""Patch torch to accept the backend string `cpu:gloo,cpu:gloo`.

verl requests the backends `cpu:gloo,<device>:<backend of the platform>`. If the device is the CPU, the string names the
CPU twice, and torch raises an error.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

MODULE = "torch.distributed"
TWICE, ONCE = "cpu:gloo,cpu:gloo", "cpu:gloo"


def apply(distributed: ModuleType) -> None:
    """Patch `init_process_group` to replace the duplicate backend by `cpu:gloo`."""
    original = distributed.init_process_group

    @functools.wraps(original)
    def init_process_group(backend: str | None = None, *args: Any, **kwargs: Any) -> None:
        original(ONCE if backend == TWICE else backend, *args, **kwargs)

    distributed.init_process_group = init_process_group  # type: ignore[attr-defined]


def still_needed() -> bool:
    """Whether torch still rejects the duplicate backend and verl still requests it."""
    import inspect

    from verl.utils.distributed import initialize_global_process_group_ray

    requested = 'f"cpu:gloo,{get_device_name()}:{get_nccl_backend()}"' in inspect.getsource(
        initialize_global_process_group_ray
    )
    return requested and _torch_rejects()


def _torch_rejects() -> bool:
    import torch.distributed

    try:
        torch.distributed.distributed_c10d.BackendConfig(torch.distributed.Backend(TWICE))
    except ValueError:
        return True
    return False
