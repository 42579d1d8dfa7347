"""Weights in bfloat16 leave buffers and adapters in float32."""

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
from verl_recipes.inside_verl import bfloat16_weights

BF16 = ("engine.model_dtype=bf16",)
ON_A_GPU = (*BF16, "engine.mixed_precision.param_dtype=bf16")
ADAPTERS = ("model.lora_rank=4", "model.target_modules=all-linear", "model.exclude_modules=.*visual.*", "optim.lr=0.1")
ROWS = ((STILL, STILL), (CLIP, STILL))
PLANS = {
    "two workers, as on a GPU": Plan(ROWS, (*ON_A_GPU, *ADAPTERS)),
    "one worker, as on a GPU": Plan(ROWS, (*ON_A_GPU, *ADAPTERS)).on_one_worker(),
    "float32": Plan(ROWS, ADAPTERS).on_one_worker(),
    "bfloat16": Plan(ROWS, (*BF16, *ADAPTERS)).on_one_worker(),
}


@pytest.mark.parametrize(("strategy", "adapters"), [("fsdp2", "float32"), ("fsdp", "bfloat16")])
def test_adapters_of_fsdp2_are_in_float32(tmp_path: Path, strategy: str, adapters: str) -> None:
    build = inspect.unwrap(FSDPEngine._build_lora_module)
    assert types_of(build, tmp_path, strategy) == {"bfloat16"}, "verl no longer casts: remove bfloat16_weights.py"
    assert types_of(bfloat16_weights.with_float32_adapters(build), tmp_path, strategy) == {adapters}


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


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Outcome of each plan, with a model whose weights are not rounded by bfloat16."""
    import torch
    from transformers import AutoModelForImageTextToText

    folder = tmp_path_factory.mktemp("bfloat16")
    source = make_tiny_family("qwen2_5_vl", folder / "model")
    model = AutoModelForImageTextToText.from_pretrained(source, dtype=torch.bfloat16).float()
    model.save_pretrained(source)
    return outcomes(source, PLANS, folder)


def test_weights_in_bfloat16_compute_what_the_same_weights_in_float32_do(computed: dict[str, Outcome]) -> None:
    expected, found = computed["float32"], computed["bfloat16"]
    assert found.log_probs == expected.log_probs  # rounded frequencies would change them at these positions by 1e-5
    assert found.losses == pytest.approx(expected.losses, rel=1e-3)  # verl rounds the adapters' initial values


def test_two_workers_train_float32_adapters_on_a_base_model_in_bfloat16(computed: dict[str, Outcome]) -> None:
    several, one = computed["two workers, as on a GPU"], computed["one worker, as on a GPU"]
    assert several.losses == pytest.approx(one.losses, rel=1e-2)
    assert several.losses[1] < several.losses[0]
    assert all("lora_" in parameter for parameter, gradient in several.gradients.items() if any(gradient))
