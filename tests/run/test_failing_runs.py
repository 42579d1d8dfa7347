"""Runs that diverge end without saving broken weights; runs whose rollout server hangs end in time and resume."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from lmms_eval_shotbench.cli import main
from tests.support.failing_training import HANGING, environment
from tests.support.split_shards import write_split_shards
from verl_recipes.run.checkpoints import complete_steps
from verl_recipes.run.run_folder import RunFolder

pytestmark = [pytest.mark.verl, pytest.mark.ray, pytest.mark.timeout(3000)]
SFT = ["data.train_batch_size=8", "data.micro_batch_size_per_gpu=8", "data.max_length=1600", "trainer.test_freq=-1"]
GRPO = ["data.train_batch_size=4", "data.max_prompt_length=1600", "data.max_response_length=8", "trainer.test_freq=-1"]
GRPO += ["actor_rollout_ref.rollout.n=2", "trainer.val_before_train=false"]


@pytest.fixture(scope="module")
def split_shards(studio_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_split_shards(studio_shards, tmp_path_factory.mktemp("films") / "shards")


def status(command: list[str], variables: Mapping[str, str]) -> int:
    """Exit status of `shotbench train …` with these environment variables."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return main(["train", *command])


def nonfinite_steps(run: Path, attempt: int) -> list[float]:
    lines = [json.loads(line) for line in RunFolder(run).metrics(attempt).read_text().splitlines()]
    return [line["data"]["train/nonfinite_steps"] for line in lines if "train/nonfinite_steps" in line["data"]]


def test_a_diverging_run_ends_with_the_reason_and_saves_nothing_after(
    split_shards: Path, tiny_model_unconstrained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    command = ["sft", "--recipe", "tiny", "--data", str(split_shards), "--model", str(tiny_model_unconstrained)]
    command += ["--out", str(run), *SFT, "trainer.total_epochs=3", "trainer.save_freq=2"]
    faults = environment(tmp_path, nan_updates=(1, 3, 4, 5, 6, 7, 8))
    assert status([*command, "trainer.max_nonfinite_steps=1"], faults) == 1
    assert nonfinite_steps(run, 1) == [1, 1, 2, 3]
    assert complete_steps(RunFolder(run).checkpoints) == [2]
    printed = capfd.readouterr().err
    assert "step 3: the gradient norm is nan" in printed
    message = printed.strip().splitlines()[-1]
    assert "the trainer failed: the gradient norm was not finite in 2 consecutive steps, up to step 4" in message
    assert "engine is not available" not in printed


def test_a_run_whose_rollout_server_hangs_ends_in_time_and_resumes(
    split_shards: Path, tiny_model_unconstrained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    command = ["grpo", "--recipe", "tiny", "--data", str(split_shards), "--model", str(tiny_model_unconstrained)]
    command += ["--out", str(run), "--attempts", "5", *GRPO, "trainer.total_epochs=1", "trainer.save_freq=1"]
    faults = environment(tmp_path, nan_updates=(1,), hanging=HANGING)
    assert status([*command, "trainer.rollout_timeout_s=30"], faults) == 0
    printed = capfd.readouterr().err
    assert "the trainer failed: no response was finished for 30 s: 4 prompts are running" in printed
    assert "the trainer failed: sending the weights to the rollout servers took longer than 30 s" in printed
    assert not [method for method in HANGING if (tmp_path / method).exists()], "both hung"
    assert complete_steps(RunFolder(run).checkpoints)[-1] == 4
    assert nonfinite_steps(run, 1)[0] == 1
    assert "step 1: the gradient norm is nan" in printed
    assert "engine is not available" not in printed
