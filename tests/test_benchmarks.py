"""The benchmarks run to their end and print their figures in the agreed form; none is a timed test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import REPOSITORY
from tests.support.real_data import REAL_DATA_VARIABLE


def figures_of(name: str, real_data: Path, *arguments: str) -> dict[str, dict[str, float]]:
    """The last line that a benchmark prints under --json."""
    command = [sys.executable, str(REPOSITORY / "benchmarks" / name), *arguments, "--repeat", "1", "--json"]
    environment = os.environ | {REAL_DATA_VARIABLE: str(real_data)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("machine: ")
    figures: dict[str, dict[str, float]] = json.loads(run.stdout.splitlines()[-1])
    return figures


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "limit", "expected"),
    [
        ("grading.py", "20", {"official_us", "official_options_parsed_us", "official_row_read_us"}),
        ("scoring.py", "60", {"in_process_s", "command_s"}),
        ("startup.py", "", {"help_s", "score_s"}),
    ],
)
def test_benchmark_says_both_sides_of_every_figure(name: str, limit: str, expected: set[str], real_data: Path) -> None:
    if name == "scoring.py":
        pytest.importorskip("pandas")
    figures = figures_of(name, real_data, *(["--limit", limit] if limit else []))
    assert expected <= set(figures)
    for values in figures.values():
        assert set(values) == {"ours", "theirs", "ratio"}
        assert all(value > 0 for value in values.values())


@pytest.mark.slow
def test_published_sets_are_imported_with_every_row_accounted_for_and_shared_clips_found() -> None:
    """It fails by itself if rows do not add up, or if other clips than the shared ones are found."""
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "published_sets.py"), "--share", "0.01", "--json"]
    command += ["--questions", "0", "--only", "camerabench", "acam-bench"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    figures = json.loads(run.stdout.splitlines()[-1])
    assert set(figures) == {"camerabench, import", "acam-bench, import", "acam-bench, leaks"}
    for name in ("camerabench, import", "acam-bench, import"):
        assert figures[name]["rows_in"] == figures[name]["rows_out"] + figures[name]["dropped"]
        assert figures[name]["dropped"] > 0


@pytest.mark.verl
@pytest.mark.ray
@pytest.mark.repeat  # tests/cpu/test_cpu_runs.py runs the same with a trainer
def test_sharing_media_costs_less_and_gives_the_same_rows_through_a_real_queue() -> None:
    """It fails by itself if rows differ or if media are held after the rows were removed."""
    pytest.importorskip("verl")
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "media_per_prompt.py"), "--json"]
    command += ["--case", "small", "--responses", "3"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    figures = json.loads(run.stdout.splitlines()[-1])
    assert set(figures) == {f"small, n 3, {cost}" for cost in ("media_cpu_s", "cpu_s", "peak_mb", "queue_mb")}
    assert figures["small, n 3, queue_mb"]["ratio"] > 3
    assert figures["small, n 3, media_cpu_s"]["ours"] > 0
