"""LoRA by command at tiny size: CoT-SFT, GRPO from its merged model, merge, evaluation; verl on Ray workers."""

# ruff: noqa: F811 (a fixture that is imported is named again as an argument)

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.verl, pytest.mark.ray, pytest.mark.host, pytest.mark.timeout(1500)]
pytestmark += [pytest.mark.usefixtures("forked_trainers")]
pytest.importorskip("verl")

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from tests.support.preflight_runs import shards  # noqa: F401
from verl_recipes.run.run_folder import RunFolder, read_metrics

ADAPTED = {
    *(f"self_attn.{part}_proj" for part in "qkvo"),
    *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
}
TWO_STEPS = ["data.train_batch_size=4", "trainer.total_epochs=2", "trainer.test_freq=-1"]  # of three stills and a clip
SMALL_SFT = [*TWO_STEPS, "data.micro_batch_size_per_gpu=2", "data.max_length=1600"]
SMALL_GRPO = [
    *TWO_STEPS,
    "data.max_prompt_length=1600",
    "data.max_response_length=32",
    "trainer.val_before_train=false",
]
SMALL_GRPO += ["actor_rollout_ref.rollout.n=4", "trainer.save_freq=2"]


@pytest.fixture(scope="module")
def sft_run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train("cot-sft", tmp_path_factory.mktemp("runs") / "sft", shards, TINY_SHOTVL, SMALL_SFT)


@pytest.fixture(scope="module")
def grpo_run(shards: Path, sft_run: Path) -> Path:
    return train("grpo", sft_run.with_name("grpo"), shards, sft_run, SMALL_GRPO)


def train(method: str, run: Path, shards: Path, model: Path, overrides: list[str]) -> Path:
    """Train by the recipe `tiny_lora` and merge the adapters."""
    command = ["train", method, "--recipe", "tiny_lora", "--data", str(shards), "--model", str(model)]
    assert main([*command, "--out", str(run), *overrides]) == 0
    assert main(["train", "merge", str(run)]) == 0
    return run


def test_merged_adapters_change_the_language_model_and_no_vision_weight(sft_run: Path, grpo_run: Path) -> None:
    before = TINY_SHOTVL
    for run in (sft_run, grpo_run):
        merged = RunFolder(run).model
        changed = changed_weights(before, merged)
        assert {name.rpartition(".layers.")[2].partition(".")[2].removesuffix(".weight") for name in changed} == ADAPTED
        assert not any("visual" in name for name in changed)
        assert not list(merged.glob("**/*adapter*")), "a complete model of its own"
        before = merged


def changed_weights(before: Path, after: Path) -> set[str]:
    """Names of the weights that differ between two models in the precision of the second."""
    import torch

    old, new = weights(before), weights(after)
    assert old.keys() == new.keys()
    return {name for name, values in old.items() if not torch.equal(values.to(new[name].dtype), new[name])}


def weights(model: Path) -> dict[str, Any]:
    from transformers import AutoModelForImageTextToText

    return dict(AutoModelForImageTextToText.from_pretrained(model, dtype="auto").named_parameters())


def test_the_rollout_generates_with_the_merged_weights_of_each_step(grpo_run: Path) -> None:
    logged = read_metrics(grpo_run)
    assert list(logged) == [1, 2]
    assert logged[1]["training/rollout_probs_diff_max"] < 1e-4
    # From the second step on, verl sends merged weights in bfloat16, whose rounding is as large as the first updates:
    # in three runs the mean difference was 0.011 to 0.024, the correlation 0.93 to 0.995.
    assert logged[2]["training/rollout_probs_diff_mean"] < 0.1
    assert logged[2]["training/rollout_actor_probs_pearson_corr"] > 0.7
    assert all(values["actor/grad_norm"] > 0 for values in logged.values())


def test_a_merged_run_is_scored_by_the_benchmark(grpo_run: Path, shards: Path) -> None:
    assert main(["train", "evaluate", str(grpo_run), "--data", str(shards), "--max-new-tokens", "8"]) == 0
    scores = [json.loads(path.read_text()) for path in grpo_run.glob("eval/*/scores.json")]
    assert scores and all(one["n"] == len(one["items"]) > 0 for one in scores)
