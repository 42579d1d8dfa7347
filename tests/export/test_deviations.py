"""What is not a result of the complete benchmark is refused, or says so wherever it is exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from lmms_eval_shotbench.export.deviations import deviations, remarks
from lmms_eval_shotbench.export.exported_run import ExportRequest, read_exported_run
from lmms_eval_shotbench.export.formats import FORMATS, exported_files
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.runs.scores_schema import BadRun
from tests.support.exported_runs import CHECKPOINT, DATASET, UNANSWERED, exported, half_right, make_run
from tests.support.report_runs import always_right, write_run

PUBLISHING = [name for name, one in FORMATS.items() if one.publishes]
STATED = {"date": "2026-11-30", "organization": "Lab", "relationship": "other"}  # what some format requires


def some_unanswered(item: QAItem) -> str:
    return UNANSWERED if item.source_index == 1 else half_right(item)


def without_questions(folder: Path) -> Path:
    run = make_run(folder)
    (folder / "test.tsv").unlink()
    return run


DEVIATING: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a variant": (lambda folder: make_run(folder, variant="blind"), "variant blind"),
    "a part": (lambda folder: make_run(folder, slice(0, 6)), "4 of 8 questions of Shot Size"),
    "grey pictures": (lambda folder: make_run(folder, checkpoint=f"{CHECKPOINT},blank=True"), "grey in place of every"),
    "unanswered": (lambda folder: make_run(folder, says=some_unanswered), "1 of 12 questions have no response"),
    "an unknown set": (without_questions, "unknown whether all questions were asked"),
}


# Every Eval Ever holds the questions, so it refuses a run without them in any case.
CASES = [pair for pair in product(DEVIATING, PUBLISHING) if pair != ("an unknown set", "every-eval-ever")]


@pytest.mark.parametrize(("kind", "format"), CASES)
def test_deviating_runs_are_refused_or_marked(tmp_path: Path, kind: str, format: str) -> None:
    make, phrase = DEVIATING[kind]
    run = make(tmp_path)
    with pytest.raises(BadRun, match=f"is not a result of the complete benchmark: .*{phrase}.*--allow-deviations"):
        exported_files(exported(run, **STATED), format)
    files = exported_files(exported(run, allow_deviations=True, **STATED), format)
    assert any(phrase in (text if isinstance(text, str) else text.decode("latin-1")) for text in files.values())


@pytest.mark.parametrize("format", PUBLISHING)
def test_a_run_on_all_questions_is_a_result(tmp_path: Path, format: str) -> None:
    run = exported(make_run(tmp_path), **STATED)
    assert deviations(run) == []
    assert exported_files(run, format)


def test_a_few_of_shotbenchs_questions_are_no_result_on_shotbench(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert deviations(exported(run)) == []
    assert deviations(exported(run, dataset="")) == ["the questions are only a part of ShotBench"]


@pytest.mark.slow
def test_all_of_the_real_shotbench_is_a_result_on_shotbench(tmp_path: Path, real_items: dict[int, QAItem]) -> None:
    run = write_run(tmp_path / "run", list(real_items.values()), always_right, tmp_path / "not on this machine.tsv")
    assert deviations(exported(run, dataset="")) == []


def test_refusals_samples_and_warnings_are_remarked(tmp_path: Path) -> None:
    def says(item: QAItem) -> str:
        return "I cannot see the image." if item.source_index < 2 else half_right(item)

    run = make_run(tmp_path, says=says, temperature=0.7, warnings=["clips were shown at 2 frames a second"])
    assert remarks(exported(run), "strict") == [
        "refusals, which count as wrong: 2",
        "sampled at temperature 0.7",
        "clips were shown at 2 frames a second",
    ]


def test_letters_assigned_by_a_language_model_are_remarked(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for file in run.glob("scores*.json"):
        scores = json.loads(file.read_text())
        scores["items"][0]["how"] = "judge"
        scores["extracted"] = {"letters": 3, "correct": 1}
        file.write_text(json.dumps(scores))
    found = remarks(exported(run), "official")
    assert found == ["letters assigned by a judge: 1", "letters assigned by an extractor: 3"]


def test_several_samples_are_remarked(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    lines = (run / "samples.jsonl").read_text().splitlines()
    rows = [json.loads(line) | {"sample": number} for line in lines for number in (1, 2)]
    responses = tmp_path / "two.jsonl"
    responses.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stated = ExportRequest(model="our/model", dataset=DATASET)
    found = read_exported_run([str(tmp_path / "test.tsv"), str(responses)], stated)
    assert remarks(found, "strict") == ["mean over 2 samples of each answer"]
