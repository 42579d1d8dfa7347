"""Exported files as the validator of Every Eval Ever and the readers of Inspect see them (`make test-formats`)."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lmms_eval_shotbench.export.every_eval_ever import every_eval_ever
from lmms_eval_shotbench.export.exported_run import ExportedRun, read_exported_run
from lmms_eval_shotbench.export.inspect_log import inspect_log
from lmms_eval_shotbench.grading.grade import PROTOCOLS
from tests.support import REPOSITORY
from tests.support.format_runs import STATED, recorded_run, sampled_run, write_files

pytestmark = pytest.mark.formats

BIN = REPOSITORY / ".venv-formats" / "bin"
RUNS: dict[str, Callable[[Path], ExportedRun]] = {
    "recorded": recorded_run,
    "variant": partial(recorded_run, variant="mirrored"),
    "sampled": sampled_run,
}


class Logged(NamedTuple):
    """A run, and what Inspect reads in its log."""

    run: ExportedRun
    log: Path
    read: dict[str, Any]


def started(program: str, *arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment to its end."""
    assert (BIN / program).exists(), f"{BIN / program} does not exist; make test-formats installs it"
    command = [str(BIN / program), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def read_by_inspect(folder: Path) -> dict[str, dict[str, Any]]:
    """What Inspect reads in the logs of a folder, by name."""
    finished = started("python", REPOSITORY / "tests/support/inspect_reader.py", folder)
    assert finished.returncode == 0, finished.stderr
    found: dict[str, dict[str, Any]] = json.loads(finished.stdout)
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExportedRun]:
    """Small runs by name."""
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in RUNS.items()}


@pytest.fixture(scope="module")
def real_run(real_data: Path) -> ExportedRun:
    """The published responses of ShotVL-3B to all questions."""
    files = real_data / "shotbench/test.tsv", real_data / "responses/shotbench.shotvl-3b.reasoning.jsonl.gz"
    return read_exported_run(list(map(str, files)), replace(STATED, model="Vchitect/ShotVL-3B", dataset=""))


@pytest.fixture(scope="module")
def logged(runs: dict[str, ExportedRun], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Logged]:
    """The small runs as Inspect reads them; it takes seconds to start."""
    folder = tmp_path_factory.mktemp("logs")
    logs = {name: write_files(folder, inspect_log(run))[0] for name, run in runs.items()}
    found = read_by_inspect(folder)
    return {name: Logged(run, logs[name], found[logs[name].name]) for name, run in runs.items()}


@pytest.mark.parametrize("name", RUNS)
def test_the_validator_of_every_eval_ever_accepts_the_files(
    name: str, runs: dict[str, ExportedRun], tmp_path: Path
) -> None:
    check_validity(runs[name], tmp_path)


def test_the_validator_accepts_a_run_on_all_questions(real_run: ExportedRun, tmp_path: Path) -> None:
    check_validity(real_run, tmp_path)


def check_validity(run: ExportedRun, folder: Path) -> None:
    finished = started("every_eval_ever", "validate", *write_files(folder, every_eval_ever(run)))
    assert finished.returncode == 0, finished.stdout


def test_the_validator_reports_files_that_were_changed(runs: dict[str, ExportedRun], tmp_path: Path) -> None:
    samples, results = write_files(tmp_path, every_eval_ever(runs["recorded"]))
    samples.write_text("".join(samples.read_text(encoding="utf-8").splitlines(keepends=True)[1:]), encoding="utf-8")
    assert started("every_eval_ever", "validate", results, samples).returncode == 1


@pytest.mark.parametrize("name", RUNS)
def test_inspect_computes_the_scores_of_the_log_from_its_samples(name: str, logged: dict[str, Logged]) -> None:
    check_log(logged[name])


def test_inspect_computes_the_published_scores_from_a_log_of_all_questions(
    real_run: ExportedRun, tmp_path: Path
) -> None:
    (log,) = write_files(tmp_path, inspect_log(real_run))
    check_log(Logged(real_run, log, read_by_inspect(tmp_path)[log.name]))


def check_log(logged: Logged) -> None:
    """The scores that are read are those of scores.json, and those that Inspect computes are equal."""
    run, read = logged.run, logged.read
    assert (read["status"], read["model"]) == ("success", run.model)
    for protocol in PROTOCOLS:
        accuracy = (run.scores(protocol) or {})["accuracy"]
        stored = read["stored"][protocol]
        assert stored["accuracy"] == accuracy["micro"]["value"] and stored["macro"] == accuracy["macro"]["value"]
        assert {slug: stored[slug] for slug in accuracy["by_dimension"]} == {
            slug: estimate["value"] for slug, estimate in accuracy["by_dimension"].items()
        }
        assert read["recomputed"][protocol] == pytest.approx(stored, abs=1e-12)
    assert len(read["samples"]) == read["summaries"] == len(run.items) * len(run.samples)
    assert read["read_alone"]


def test_inspect_reads_the_responses_as_they_were_given(logged: dict[str, Logged]) -> None:
    run, _, read = logged["recorded"]
    found = {one["id"]: one for one in read["samples"]}
    for item, answered in zip(run.items, run.run.stored.items, strict=True):
        sample = found[item.item_id]
        assert (sample["target"], sample["choices"]) == (item.answer, list(item.options))
        assert sample["completion"] == run.samples[0][item.source_index].text.replace("\ud83c", "?")
        assert sample["answers"]["strict"] == answered.letter


def test_inspect_scores_a_log_again(logged: dict[str, Logged], tmp_path: Path) -> None:
    run, log, _ = logged["recorded"]
    options = "--model", "none", "--scorer", "pattern", "-S", r"pattern=<answer>([A-D])", "--action", "append"
    finished = started("inspect", "score", log, *options, "--output-file", tmp_path / log.name, folder=tmp_path)
    assert finished.returncode == 0, finished.stderr
    again = read_by_inspect(tmp_path)[log.name]["stored"]
    answers = [f"<answer>{item.answer}" in run.samples[0][item.source_index].text for item in run.items]
    assert again["pattern"]["accuracy"] == pytest.approx(sum(answers) / len(answers))
    assert again["strict"]["accuracy"] == pytest.approx(run.results()[-1].value)


def test_the_vendored_schemas_are_those_of_the_package() -> None:
    script = "import every_eval_ever; print(every_eval_ever.__path__[0])"
    package = Path(started("python", "-c", script).stdout.strip())
    ours = REPOSITORY / "tests" / "export" / "schemas" / "every_eval_ever"
    for name in ("eval.schema.json", "instance_level_eval.schema.json"):
        assert (ours / name).read_bytes() == (package / "schemas" / name).read_bytes()
    pinned = re.search(r"^every-eval-ever==(.+)$", (REPOSITORY / "constraints-formats.txt").read_text(), re.MULTILINE)
    assert pinned and pinned[1] in (ours / "README.md").read_text(encoding="utf-8")
