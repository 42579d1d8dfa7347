"""verl's platform `cpu`: verl's interface to an accelerator, implemented for a machine without one.

verl schedules one worker per unit of the Ray resource GPU. On a machine without GPUs the recipes declare logical ones
(`ray_kwargs.ray_init.num_gpus`, or `ray start --num-gpus`), one per worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import psutil
import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry

NAME = "cpu"


def _nothing(*_: object, **__: object) -> None:
    """Does nothing: there is no device to select, synchronize or free memory of."""


def _resident_bytes(*_: object) -> int:
    return int(psutil.Process().memory_info().rss)


def _free_and_total_bytes(*_: object) -> tuple[int, int]:
    memory = psutil.virtual_memory()
    return int(memory.available), int(memory.total)


# In place of torch.cuda: the functions that verl calls on it. Memory is that of the process or the machine, in bytes.
HOST = SimpleNamespace(
    is_available=lambda: False,
    is_initialized=lambda: False,
    current_device=lambda: NAME,
    device_count=lambda: 0,
    set_device=_nothing,
    synchronize=_nothing,
    empty_cache=_nothing,
    ipc_collect=_nothing,
    manual_seed=_nothing,  # verl also seeds torch itself
    manual_seed_all=_nothing,
    memory_allocated=_resident_bytes,
    memory_reserved=_resident_bytes,
    max_memory_allocated=_resident_bytes,
    max_memory_reserved=_resident_bytes,
    reset_peak_memory_stats=_nothing,
    mem_get_info=_free_and_total_bytes,
    get_device_name=lambda *_: "CPU",
    get_rng_state=torch.get_rng_state,
    set_rng_state=torch.set_rng_state,
)


class HostPlatform(PlatformBase):  # type: ignore[misc]  # verl has no types
    """The platform of a host without an accelerator."""

    device_name = NAME
    vendor_name = NAME
    device_module = HOST

    def is_available(self) -> bool:
        return True

    def current_device(self) -> str:
        return NAME

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        pass

    def synchronize(self, device_index: int | None = None) -> None:
        pass

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        pass

    def empty_cache(self) -> None:
        pass

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"  # set by Ray for its resource GPU

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False

    def rollout_env_vars(self) -> dict[str, str]:
        return {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}  # else every engine takes the same cores for itself

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None:
        pass

    def profiler_stop(self) -> None:
        pass

    def cudart(self) -> Any:
        return None


def register() -> None:
    """Register the platform with verl, which selects it by `VERL_PLATFORM=cpu`."""
    PlatformRegistry.register(platform=NAME)(HostPlatform)
