"""The loop from labels to a better model runs to its end with real parts, tiny numbers, and resumes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lmms_eval_shotbench.labelling.scores.match_truth import match_truth
from lmms_eval_shotbench.labelling.scores.score import scored_cells
from lmms_eval_shotbench.labelling.shot_sheet import read_sheet
from lmms_eval_shotbench.labelling.truth import read_truth
from lmms_eval_shotbench.vocabulary import DIMENSIONS
from tests.support import REPOSITORY

# Every step has tests of its own.
pytestmark = [pytest.mark.verl, pytest.mark.ray, pytest.mark.host, pytest.mark.repeat, pytest.mark.timeout(1500)]
SHOTS = 40


def close_loop(out: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "label_loop.py"), str(out)]
    command += ["--films", "2", "--test-films", "1", "--width", "128", "--shots", str(SHOTS)]
    return subprocess.run([*command, *settings], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loop") / "out"
    run = close_loop(folder, "trainer.total_training_steps=1")
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


def test_a_person_has_set_what_is_certain_of_the_least_certain_shots(out: Path) -> None:
    matched = match_truth(read_sheet(out / "labels", votes=False), read_truth(out / "films" / "truth.csv")).shots
    cells = [one for dimension in DIMENSIONS for one in scored_cells(matched, dimension)]
    assert all(one.is_right for one in cells if one.cell.is_by_person)
    corrected = [row for row, _ in matched if any(cell.is_by_person for cell in row.cells.values())]
    assert len(corrected) == SHOTS
    assert (out / "shards" / "README.md").exists()


def test_a_finished_loop_only_prints_its_tables(out: Path) -> None:
    run = close_loop(out, "trainer.total_training_steps=1")
    lines = run.stdout.splitlines()
    assert run.returncode == 0, run.stderr
    assert not [line for line in lines if line.startswith("$")]
    assert f"{SHOTS} shots corrected" in run.stdout
    for dimension in DIMENSIONS:
        assert sum(line.startswith(dimension.paper_name) for line in lines) == 2, "once for each kind of truth"


def test_a_folder_of_other_settings_is_refused(out: Path) -> None:
    run = close_loop(out, "trainer.total_training_steps=2")
    assert run.returncode == 1
    assert "name another folder" in run.stderr
