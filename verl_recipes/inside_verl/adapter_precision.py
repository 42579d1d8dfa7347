"""Patch verl's FSDP2 engine to keep low-rank adapters in float32 on a frozen base model in bfloat16.

verl 0.9.1 casts the adapters to the type of the base model, because FSDP1 requires one type for all parameters of a
layer. In bfloat16 a weight of 0.02 is not changed by an update of less than 3e-5, so most updates would be lost at the
usual learning rates. FSDP2 requires one type only for those parameters of a layer that are trained.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

MODULE = "verl.workers.engine.fsdp.transformer_impl"


def apply(module: ModuleType) -> None:
    """Patch the module `MODULE`."""
    engine: Any = module.FSDPEngine  # type: ignore[attr-defined]
    engine._build_lora_module = with_float32_adapters(engine._build_lora_module)


def with_float32_adapters(build: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap verl's function that adds adapters to a model."""

    @wraps(build)
    def _build_lora_module(engine: Any, base: Any) -> Any:
        model = build(engine, base)
        if engine.engine_config.strategy == "fsdp2":
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.data = parameter.data.float()
        return model

    return _build_lora_module
