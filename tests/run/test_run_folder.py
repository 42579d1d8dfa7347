"""A run folder: its record, one process at a time, and the metrics of several attempts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from verl_recipes.run.changed_settings import Change
from verl_recipes.run.run_folder import Record, RunFolder, RunRefused, TrainingRequest, is_run_folder, read_metrics

ORDER = TrainingRequest("grpo", "tiny", "shards", Path("run"), "model", ("trainer.total_epochs=2",))


def test_the_record_of_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    record = Record(replace(ORDER, out=folder.path), {"data": "d1"})
    assert folder.recorded() is None
    with folder.locked():
        folder.begin(record)
    assert is_run_folder(folder.path)
    assert folder.recorded() == record


def test_rows_of_other_settings_are_removed_before_a_run_has_a_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.locked():
        folder.begin(Record(ORDER, {"data": "d1"}))
        folder.rows.mkdir()
        folder.begin(Record(ORDER, {"data": "d1"}))
        assert folder.rows.exists()
        folder.begin(Record(ORDER, {"data": "d2"}))  # the same path with other data
        assert not folder.rows.exists()


def test_changes_are_recorded_with_their_step(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.locked():
        folder.begin(Record(ORDER))
        folder.resume(Record(ORDER), 4, [Change("trainer.save_freq", 5, 10)])
        folder.resume(Record(ORDER), 6, [])
        folder.resume(Record(ORDER), 8, [Change("trainer.logger", ["file"], ["file", "wandb"])])
    assert [json.loads(line) for line in folder.changes.read_text().splitlines()] == [
        {"step": 4, "setting": "trainer.save_freq", "before": 5, "now": 10},
        {"step": 8, "setting": "trainer.logger", "before": ["file"], "now": ["file", "wandb"]},
    ]


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.locked(), pytest.raises(RunRefused, match="another process"), folder.locked():
        pass
    with folder.locked():
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
