"""Qwen3-VL and Qwen3.5 trained, merged and evaluated by command on Ray workers, on stills and clips."""

# ruff: noqa: F811 (fixtures that are imported are named again as arguments)

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.verl, pytest.mark.ray, pytest.mark.host, pytest.mark.timeout(1500)]
pytestmark += [pytest.mark.usefixtures("forked_trainers")]
pytest.importorskip("verl")
pytest.importorskip("ray")

from lmms_eval_shotbench.cli import main
from tests.support.preflight_runs import shards  # noqa: F401
from tests.support.tiny_families.trainable import Trainable, make_trainable
from verl_recipes.run.evaluate_run import TASKS
from verl_recipes.run.run_folder import read_metrics

STEPS, QUESTIONS = 2, 4  # of each split; one of the questions is on a clip
SFT = ["data.train_batch_size=2", "data.micro_batch_size_per_gpu=2"]
GRPO = ["data.train_batch_size=2", "data.max_response_length=8", "actor_rollout_ref.rollout.n=2"]
GRPO += ["trainer.val_before_train=false", "trainer.test_freq=2"]
GRPO += ["actor_rollout_ref.actor.entropy_coeff=0.1"]  # so that weights change, as no response is rewarded


def trained(method: str, shards: Path, model: Path, out: Path, overrides: list[str]) -> Path:
    """Train by command, and return the run's folder."""
    command = [method, "--recipe", "tiny", "--data", str(shards), "--model", str(model), "--out", str(out)]
    assert main(["train", *command, *overrides]) == 0
    return out


@pytest.fixture(scope="module")
def sft_run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CoT-SFT of Qwen3-VL."""
    folder = tmp_path_factory.mktemp("sft")
    return trained("cot-sft", shards, make_trainable("qwen3_vl", folder / "model"), folder / "run", SFT)


@pytest.fixture(scope="module", params=["qwen3_vl", "qwen3_5"])
def grpo_run(request: pytest.FixtureRequest, shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GRPO of the SFT model of Qwen3-VL, and of Qwen3.5."""
    family: Trainable = request.param
    folder = tmp_path_factory.mktemp(family)
    if family == "qwen3_vl":
        model: Path = request.getfixturevalue("sft_run")
    else:
        model = make_trainable(family, folder / "model")
    return trained("grpo", shards, model, folder / "run", GRPO)


def test_sft_trains_on_stills_and_clips(sft_run: Path) -> None:
    metrics = read_metrics(sft_run)
    assert list(metrics) == [1, STEPS]
    assert metrics[STEPS]["train/loss"] < metrics[1]["train/loss"]
    assert {path.suffix for path in (sft_run / "rows" / "media").iterdir()} == {".png", ".jpeg", ".mp4"}


def test_rollout_and_actor_agree_before_and_after_an_update(grpo_run: Path) -> None:
    steps: dict[int, dict[str, Any]] = read_metrics(grpo_run)
    assert list(steps) == [1, STEPS]
    for step in steps.values():
        assert step["actor/grad_norm"] > 0
        assert step["training/rollout_probs_diff_max"] < 1e-5
    assert any(name.startswith("val-core/small/camera_movement") for name in steps[STEPS])


def test_a_trained_model_is_merged_and_scored_by_the_benchmark(grpo_run: Path, shards: Path) -> None:
    assert main(["train", "evaluate", str(grpo_run), "--data", str(shards), "--max-new-tokens", "4"]) == 0
    for task in TASKS:
        scores = json.loads((grpo_run / "eval" / task / "scores.json").read_text())
        assert scores["n"] == len(scores["items"]) == QUESTIONS
    assert json.loads((grpo_run / "model" / "merged_from.json").read_text())["step"] == STEPS
