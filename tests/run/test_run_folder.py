"""A run folder: one order, one process, and the metrics of several attempts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from verl_recipes.run.run_folder import RunFolder, RunRefused, TrainingRequest, is_run, read_metrics

ORDER = TrainingRequest("grpo", "tiny", "shards", Path("run"), "model", ("trainer.total_epochs=2",))


def test_the_same_order_resumes_and_another_is_refused_naming_the_differences(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    for _ in range(2):
        with folder.claimed(ORDER):
            folder.log(1).parent.mkdir(exist_ok=True)
            folder.log(1).touch()
    assert is_run(folder.path)
    with (
        pytest.raises(RunRefused, match=r"recipe was 'tiny', is '3b'.*choose another --out"),
        folder.claimed(replace(ORDER, recipe="3b")),
    ):
        pass
    with pytest.raises(RunRefused, match="model was 'model', is None"), folder.claimed(replace(ORDER, model=None)):
        pass


def test_an_order_that_never_started_may_be_corrected(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.claimed(replace(ORDER, data="wrong")):
        folder.rows.mkdir()
    with folder.claimed(ORDER):
        assert not folder.rows.exists()  # they belong to other data


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.claimed(ORDER), pytest.raises(RunRefused, match="another process"), folder.claimed(ORDER):
        pass
    with folder.claimed(ORDER):
        pass


def log(run: Path, attempt: int, steps: dict[int, float], truncated_line: str = "") -> None:
    path = RunFolder(run).metrics(attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"step": step, "data": {"reward": value}}) + "\n" for step, value in steps.items()]
    path.write_text("".join(lines) + truncated_line)


def test_steps_lost_by_a_kill_are_left_out_of_the_curves(tmp_path: Path) -> None:
    log(tmp_path, 1, {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4}, truncated_line='{"step": 5, "da')
    log(tmp_path, 2, {3: 0.35})  # resumed from step 2, killed after one step
    log(tmp_path, 3, {3: 0.36, 4: 0.46})
    assert read_metrics(tmp_path) == {
        step: {"reward": value} for step, value in {1: 0.1, 2: 0.2, 3: 0.36, 4: 0.46}.items()
    }


def test_an_attempt_that_logged_nothing_changes_nothing(tmp_path: Path) -> None:
    log(tmp_path, 1, {1: 0.1})
    log(tmp_path, 2, {})
    assert read_metrics(tmp_path) == {1: {"reward": 0.1}}
    assert read_metrics(tmp_path / "never") == {}


def test_attempts_are_numbered_by_their_logs(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.next_attempt() == 1
    folder.log(9).parent.mkdir()
    for number in (1, 9, 10):
        folder.log(number).touch()
    assert folder.next_attempt() == 11
