"""Patch verl's FSDP engine for weights in bfloat16 (`model_dtype=bf16`), which the LoRA recipes use for the base model.

verl 0.9.1 casts too much with them:

1. Buffers, among them the inverse frequencies of the rotary embeddings, whose rounding grows with the position: at
   position 1,000 it turns them by up to several radians, while vLLM keeps them in float32. Here the model is loaded in
   float32, in the memory of the host, and only its parameters are cast.
2. Low-rank adapters, because FSDP1 requires one type for all parameters of a layer. In bfloat16 a weight of 0.02 is not
   changed by an update of less than 3e-5, so most updates would be lost at the usual learning rates. FSDP2 requires one
   type only for those parameters of a layer that are trained; with it, adapters stay in float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

MODULE = "verl.workers.engine.fsdp.transformer_impl"


def apply(module: ModuleType) -> None:
    """Patch the module `MODULE`."""
    engine: Any = module.FSDPEngine  # type: ignore[attr-defined]
    engine._build_module = with_float32_buffers(engine._build_module)
    engine._build_lora_module = with_float32_adapters(engine._build_lora_module)


def with_float32_buffers(build: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wrap verl's function that loads a model, so that it casts parameters only."""

    @functools.wraps(build)
    def _build_module(engine: Any) -> Any:
        from verl.utils.torch_dtypes import PrecisionType

        given = engine.engine_config
        if given.model_dtype is None:  # verl's choice
            return build(engine)
        engine.engine_config = replace(given, model_dtype="fp32")
        try:
            model = build(engine)
        finally:
            engine.engine_config = given
        for parameter in model.parameters():
            parameter.data = parameter.data.to(PrecisionType.to_dtype(given.model_dtype))
        return model

    return _build_module


def with_float32_adapters(build: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Wrap verl's function that adds adapters to a model."""

    @functools.wraps(build)
    def _build_lora_module(engine: Any, base: Any) -> Any:
        model = build(engine, base)
        if engine.engine_config.strategy == "fsdp2":
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.data = parameter.data.float()
        return model

    return _build_lora_module
