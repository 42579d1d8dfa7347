"""Runs that diverge end without saving broken weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from lmms_eval_shotbench.cli import main
from tests.support.failing_training import environment
from verl_recipes.run import prepare
from verl_recipes.run.checkpoints import complete_steps
from verl_recipes.run.run_folder import RunFolder
from verl_recipes.run.warm_start import WARM_START

pytestmark = [pytest.mark.verl, pytest.mark.ray, pytest.mark.timeout(1500)]
SFT = ["data.train_batch_size=8", "data.micro_batch_size_per_gpu=8", "data.max_length=1600", "trainer.test_freq=-1"]


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
    split_shards: Path,
    tiny_model_unconstrained: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prepare, "WARM_START", WARM_START)  # as a user's run starts; others here may start in a fork
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
