"""Tags of thoughts that a user adds: their format, where they apply, and that re-scoring uses the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.environment import REASONING_TAGS_VARIABLE
from lmms_eval_shotbench.grading.added_tags import parse_reasoning_tags, tags_in_use, with_built_in
from lmms_eval_shotbench.grading.reasoning_tags import REASONING_TAGS
from tests.support.report_runs import write_questions

PAIRS = json.dumps([["<scratch>", "</scratch>"], ["{{", "}}"]])
TAGS = (("<scratch>", "</scratch>"), ("{{", "}}"))


def test_pairs_are_added_to_the_built_in_ones() -> None:
    assert parse_reasoning_tags(PAIRS) == TAGS
    assert with_built_in(TAGS) == (*REASONING_TAGS, *TAGS)
    assert with_built_in(REASONING_TAGS[:1] + TAGS + TAGS) == (*REASONING_TAGS, *TAGS)


@pytest.mark.parametrize("text", ["", " ", "none", "[]"])
def test_no_pair_is_added_by_none(text: str) -> None:
    assert parse_reasoning_tags(text) == ()


@pytest.mark.parametrize(
    "text",
    ["<think>", "[", '["ab"]', '[["a"]]', '[["a", "b", "c"]]', '[["a", 1]]', '[["", "b"]]', '{"ab": 1}', "7", "null"],
)
def test_another_format_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="must be a JSON list of pairs such as"):
        parse_reasoning_tags(text)


def test_the_variable_adds_pairs_for_tasks_in_a_harness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REASONING_TAGS_VARIABLE, PAIRS)
    assert tags_in_use() == (*REASONING_TAGS, *TAGS)
    monkeypatch.delenv(REASONING_TAGS_VARIABLE)
    assert tags_in_use() == REASONING_TAGS


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, Path]:
    """Questions, and responses that discuss another letter in tags that are not built in."""
    questions, folder = write_questions(tmp_path / "test.tsv"), tmp_path / "run"
    folder.mkdir()
    rows = [{"index": index, "response": "<scratch>The answer is D.</scratch>"} for index in range(12)]
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return questions, folder / "samples.jsonl"


def score(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["score", *map(str, arguments), "--format", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_score_reads_a_thought_in_added_tags_as_one_and_records_them(
    run: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert score(capsys, *run)["answered_rate"] == 1.0
    found = score(capsys, *run, "--reasoning_tags", PAIRS)
    assert found["answered_rate"] == 0.0
    assert found["run"]["reasoning_tags"] == [list(pair) for pair in TAGS]
    assert main(["score", *map(str, run), "--reasoning_tags", "<scratch>"]) == 2
    assert "must be a JSON list of pairs" in capsys.readouterr().err


def test_scoring_the_samples_of_a_run_again_uses_the_recorded_tags(
    run: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions, samples = run
    first = score(capsys, *run, "--reasoning_tags", PAIRS)
    (samples.parent / "scores.json").write_text(json.dumps(first), encoding="utf-8")
    assert score(capsys, *run) == first
    assert score(capsys, *run, "--reasoning_tags", PAIRS) == first
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(samples.read_bytes())
    assert score(capsys, questions, copy)["answered_rate"] == 1.0


@pytest.mark.parametrize("stored", ["", "[]", "{}", '{"run": null}', '{"run": {"reasoning_tags": [["a"]]}}', '{"n": 1'])
def test_scores_that_cannot_be_read_do_not_keep_responses_from_being_scored_again(
    run: tuple[Path, Path], capsys: pytest.CaptureFixture[str], stored: str
) -> None:
    (run[1].parent / "scores.json").write_text(stored, encoding="utf-8")
    assert score(capsys, *run)["answered_rate"] == 1.0


@pytest.mark.slow
def test_compare_and_report_grade_pairs_with_added_tags(
    run: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions, samples = run
    letters = tmp_path / "letters.jsonl"
    letters.write_bytes(samples.read_bytes().replace(b"<scratch>The answer is D.</scratch>", b"D"))
    arguments = ["compare", str(questions), str(samples), str(letters), "--format", "json"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["overall"]["difference"] == 0.0
    assert main([*arguments, "--reasoning_tags", PAIRS]) == 0
    assert json.loads(capsys.readouterr().out)["overall"]["difference"] == 0.25

    page = tmp_path / "page"
    command = ["report", str(questions), str(samples), "--out", str(page / "report.html")]
    assert main([*command, "--reasoning_tags", PAIRS]) == 0
    strict = json.loads((page / "scores.json").read_text(encoding="utf-8"))["runs"][0]["strict"]
    assert strict["answered_rate"] == 0.0
