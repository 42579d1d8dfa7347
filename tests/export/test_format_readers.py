"""Exported files as the validator of Every Eval Ever and the readers of Inspect see them (`make test-formats`)."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.export.every_eval_ever import every_eval_ever
from lmms_eval_shotbench.export.exported_run import ExportedRun, read_exported_run
from lmms_eval_shotbench.export.inspect_log import inspect_log
from lmms_eval_shotbench.grading.grade import PROTOCOLS
from tests.support import REPOSITORY
from tests.support.format_runs import STATED, recorded_run, sampled_run, write_files

pytestmark = pytest.mark.formats

BIN = REPOSITORY / ".venv-formats" / "bin"


def real_run(real_data: Path) -> ExportedRun:
    """The published responses of ShotVL-3B to all questions."""
    files = real_data / "shotbench/test.tsv", real_data / "responses/shotbench.shotvl-3b.reasoning.jsonl.gz"
    return read_exported_run(list(map(str, files)), replace(STATED, model="Vchitect/ShotVL-3B", dataset=""))


RUNS: dict[str, Callable[[Path], ExportedRun]] = {
    "recorded": recorded_run,
    "variant": partial(recorded_run, variant="mirrored"),
    "sampled": sampled_run,
}


@pytest.fixture(params=[*RUNS, "real"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> ExportedRun:
    if request.param == "real":
        return real_run(request.getfixturevalue("real_data"))
    return RUNS[request.param](tmp_path)


def started(program: str, *arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment to its end."""
    assert (BIN / program).exists(), f"{BIN / program} does not exist; make test-formats installs it"
    command = [str(BIN / program), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_validator_of_every_eval_ever_accepts_the_files(run: ExportedRun, tmp_path: Path) -> None:
    files = write_files(tmp_path, every_eval_ever(run))
    finished = started("every_eval_ever", "validate", *files)
    assert finished.returncode == 0, finished.stdout


def test_the_validator_reports_files_that_were_changed(tmp_path: Path) -> None:
    samples, results = write_files(tmp_path, every_eval_ever(recorded_run(tmp_path)))
    samples.write_text("".join(samples.read_text(encoding="utf-8").splitlines(keepends=True)[1:]), encoding="utf-8")
    assert started("every_eval_ever", "validate", results, samples).returncode == 1


def read_by_inspect(path: Path) -> dict[str, Any]:
    finished = started("python", REPOSITORY / "tests/support/inspect_reader.py", path)
    assert finished.returncode == 0, finished.stderr
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


def test_inspect_reads_the_scores_and_computes_the_same_from_the_samples(run: ExportedRun, tmp_path: Path) -> None:
    (log,) = write_files(tmp_path / "logs", inspect_log(run))
    found = read_by_inspect(log)
    assert (found["status"], found["model"]) == ("success", run.model)
    assert [Path(name).name for name in found["listed"]] == [log.name]
    for protocol in PROTOCOLS:
        accuracy = (run.scores(protocol) or {})["accuracy"]
        stored = found["stored"][protocol]
        assert stored["accuracy"] == accuracy["micro"]["value"] and stored["macro"] == accuracy["macro"]["value"]
        assert {slug: stored[slug] for slug in accuracy["by_dimension"]} == {
            slug: estimate["value"] for slug, estimate in accuracy["by_dimension"].items()
        }
        assert found["recomputed"][protocol] == pytest.approx(stored, abs=1e-12)
    assert len(found["samples"]) == found["summaries"] == len(run.items) * len(run.samples)
    assert found["read_alone"]


def test_inspect_reads_the_responses_as_they_were_given(tmp_path: Path) -> None:
    run = recorded_run(tmp_path)
    (log,) = write_files(tmp_path / "logs", inspect_log(run))
    found = {one["id"]: one for one in read_by_inspect(log)["samples"]}
    for item, answered in zip(run.items, run.run.stored.items, strict=True):
        sample = found[item.item_id]
        assert (sample["target"], sample["choices"]) == (item.answer, list(item.options))
        assert sample["completion"] == run.samples[0][item.source_index].text.replace("\ud83c", "?")
        assert sample["answers"]["strict"] == answered.letter


def test_inspect_scores_a_log_again(tmp_path: Path) -> None:
    run = recorded_run(tmp_path)
    (log,) = write_files(tmp_path / "logs", inspect_log(run))
    options = "--model", "none", "--scorer", "pattern", "-S", r"pattern=<answer>([A-D])", "--action", "append"
    finished = started("inspect", "score", log, *options, "--output-file", tmp_path / "again.eval", folder=tmp_path)
    assert finished.returncode == 0, finished.stderr
    again = read_by_inspect(tmp_path / "again.eval")["stored"]
    share = sum(f"<answer>{item.answer}" in run.samples[0][item.source_index].text for item in run.items) / len(
        run.items
    )
    assert again["pattern"]["accuracy"] == pytest.approx(share)
    assert again["strict"]["accuracy"] == pytest.approx(run.results()[-1].value)


def test_the_vendored_schemas_are_those_of_the_package() -> None:
    script = "import every_eval_ever; print(every_eval_ever.__path__[0])"
    package = Path(started("python", "-c", script).stdout.strip())
    ours = REPOSITORY / "tests" / "export" / "schemas" / "every_eval_ever"
    for name in ("eval.schema.json", "instance_level_eval.schema.json"):
        assert (ours / name).read_bytes() == (package / "schemas" / name).read_bytes()
    pinned = re.search(r"^every-eval-ever==(.+)$", (REPOSITORY / "constraints-formats.txt").read_text(), re.MULTILINE)
    assert pinned and pinned[1] in (ours / "README.md").read_text(encoding="utf-8")
