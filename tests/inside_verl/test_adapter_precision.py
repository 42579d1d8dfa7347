"""Adapters stay in float32 on a frozen base model in bfloat16."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = [pytest.mark.verl, pytest.mark.slow, pytest.mark.timeout(1500)]
pytest.importorskip("verl")

from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

from tests.support.tiny_families import make_tiny_family
from tests.support.training_ranks import CLIP, STILL, Outcome, Plan, outcomes
from verl_recipes.inside_verl import adapter_precision

BF16 = "engine.model_dtype=bf16", "engine.mixed_precision.param_dtype=bf16"  # as on a GPU
ADAPTERS = "model.lora_rank=4", "model.target_modules=all-linear", "model.exclude_modules=.*visual.*"


@pytest.mark.parametrize(("strategy", "adapters"), [("fsdp2", "float32"), ("fsdp", "bfloat16")])
def test_adapters_of_fsdp2_are_in_float32(tmp_path: Path, strategy: str, adapters: str) -> None:
    build = inspect.unwrap(FSDPEngine._build_lora_module)
    assert types_of(build, tmp_path, strategy) == {"bfloat16"}, "verl no longer casts: remove adapter_precision.py"
    assert types_of(adapter_precision.with_float32_adapters(build), tmp_path, strategy) == {adapters}


def types_of(build: Any, folder: Path, strategy: str) -> set[str]:
    """Types of the trained parameters of a model in bfloat16."""
    import torch
    from transformers import AutoModelForImageTextToText

    settings = SimpleNamespace(
        lora_rank=4, lora_alpha=8, target_modules="all-linear", target_parameters=None, exclude_modules=".*visual.*"
    )
    engine = SimpleNamespace(model_config=settings, engine_config=SimpleNamespace(strategy=strategy))
    source = folder / "model" if (folder / "model").exists() else make_tiny_family("qwen2_5_vl", folder / "model")
    model = build(engine, AutoModelForImageTextToText.from_pretrained(source, dtype=torch.bfloat16))
    frozen = {parameter.dtype for parameter in model.parameters() if not parameter.requires_grad}
    assert frozen == {torch.bfloat16}
    return {str(parameter.dtype).removeprefix("torch.") for parameter in model.parameters() if parameter.requires_grad}


def test_two_workers_train_float32_adapters_on_a_base_model_in_bfloat16(tmp_path: Path) -> None:
    plan = Plan(((STILL, STILL), (CLIP, STILL)), (*BF16, *ADAPTERS, "optim.lr=0.1"))
    model = make_tiny_family("qwen2_5_vl", tmp_path / "model")
    several, one = outcomes(model, {"two": plan, "one": plan.on_one_worker()}, tmp_path).values()
    assert several.losses == pytest.approx(one.losses, rel=1e-2)
    assert several.losses[1] < several.losses[0]
    for parameter, gradient in trained(several).items():
        assert "lora_" in parameter
        assert gradient == pytest.approx(one.gradients[parameter], rel=0.2, abs=1e-3), parameter


def trained(outcome: Outcome) -> dict[str, list[float]]:
    return {parameter: gradient for parameter, gradient in outcome.gradients.items() if any(gradient)}
