"""LoRA by command at tiny size: CoT-SFT, GRPO from its merged model, merge, evaluation; verl on Ray workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.cli import main
from tests.support.split_shards import write_split_shards
from verl_recipes.run.run_folder import RunFolder, read_metrics

pytestmark = [pytest.mark.verl, pytest.mark.ray, pytest.mark.host, pytest.mark.timeout(1500)]
RANK = 8
SMALL_SFT = ["data.train_batch_size=16", "data.micro_batch_size_per_gpu=4", "data.max_length=1600"]
SMALL_SFT += ["trainer.total_epochs=1", "trainer.total_training_steps=2", "trainer.test_freq=-1"]
SMALL_GRPO = ["data.train_batch_size=4", "data.max_prompt_length=1600", "data.max_response_length=8"]
SMALL_GRPO += ["actor_rollout_ref.rollout.n=2", "trainer.total_training_steps=2", "trainer.test_freq=-1"]
SMALL_GRPO += ["trainer.val_before_train=false"]


@pytest.fixture(scope="module")
def split_shards(studio_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_split_shards(studio_shards, tmp_path_factory.mktemp("films") / "shards")


@pytest.fixture(scope="module")
def sft_run(split_shards: Path, tiny_model_unconstrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "sft"
    return train("cot-sft", run, split_shards, tiny_model_unconstrained, SMALL_SFT)


@pytest.fixture(scope="module")
def grpo_run(split_shards: Path, sft_run: Path) -> Path:
    return train("grpo", sft_run.with_name("grpo"), split_shards, sft_run, SMALL_GRPO)


def train(method: str, run: Path, shards: Path, model: Path, overrides: list[str]) -> Path:
    """Train by the recipe `tiny_lora` and merge the adapters."""
    command = ["train", method, "--recipe", "tiny_lora", "--data", str(shards), "--model", str(model)]
    assert main([*command, "--out", str(run), *overrides]) == 0
    assert main(["train", "merge", str(run)]) == 0
    return run


def test_merged_adapters_change_the_language_model_and_no_vision_weight(
    tiny_model_unconstrained: Path, sft_run: Path, grpo_run: Path
) -> None:
    before = tiny_model_unconstrained
    for run in (sft_run, grpo_run):
        merged = RunFolder(run).model
        changed = changed_weights(before, merged)
        assert {name.rpartition(".layers.")[2].partition(".")[2].rpartition(".")[0] for name in changed} == {
            *(f"self_attn.{part}_proj" for part in "qkvo"), *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
        }  # fmt: skip
        assert not any("visual" in name for name in changed)
        assert not list(merged.glob("**/*adapter*"))  # a plain folder
        before = merged


def changed_weights(before: Path, after: Path) -> set[str]:
    """Names of the weights that differ between two models of the same architecture."""
    import torch

    old, new = weights(before), weights(after)
    assert old.keys() == new.keys()
    return {name for name, values in old.items() if not torch.equal(values.to(new[name].dtype), new[name])}


def weights(model: Path) -> dict[str, Any]:
    from transformers import AutoModelForImageTextToText

    return dict(AutoModelForImageTextToText.from_pretrained(model, dtype="auto").named_parameters())


def test_the_rollout_has_the_merged_weights_of_each_step(grpo_run: Path) -> None:
    logged = read_metrics(grpo_run)
    assert list(logged) == [1, 2]
    for values in logged.values():
        assert values["training/rollout_probs_diff_max"] < 1e-4


def test_a_merged_run_is_scored_by_the_benchmark(grpo_run: Path, split_shards: Path) -> None:
    assert main(["train", "evaluate", str(grpo_run), "--data", str(split_shards), "--max-new-tokens", "8"]) == 0
    scores = [json.loads(path.read_text()) for path in grpo_run.glob("eval/*/scores.json")]
    assert scores and all(one["n"] == len(one["items"]) > 0 for one in scores)
