"""`shotbench report` of runs with several samples a question: their section, card and explorer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.report.explorer import RunAnswer, explorer_records
from lmms_eval_shotbench.report.gather import read_report_run
from tests.report.test_report import Report, at, report
from tests.runs.test_several_samples import K, drawn, write_each, write_samples
from tests.support.report_runs import write_questions

N = 12


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_questions(tmp_path_factory.mktemp("questions") / "test.tsv", n=N)


@pytest.fixture(scope="module")
def items(questions: Path) -> list[QAItem]:
    return read_questions(questions)


@pytest.fixture(scope="module")
def written(questions: Path, items: list[QAItem], tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A run of four samples, a run of one, and their comparison."""
    folder = tmp_path_factory.mktemp("samples")
    four = write_samples(folder / "four.jsonl", items, drawn(items, 1))
    one = write_each(folder, items, drawn(items, 2, 0.9))[0]
    return report(folder / "page", questions, four, one)


def test_the_page_shows_accuracy_vote_and_pass_at_k_of_the_run_with_samples(written: Report) -> None:
    samples = written.numbers["runs"][0]["strict"]["samples"]
    (section,) = (one for one in written.page.all("section") if one.attributes.get("id") == "samples")
    shown = {figure.attributes["data-pointer"]: figure.text for figure in section.all("data")}
    for pointer, text in shown.items():
        value = at(written.numbers, pointer)
        assert text in (f"{100 * value:.2f}", f"{100 * value:.1f}", f"{value:,}")
    prefix = "/runs/0/strict/samples"
    for part in ("majority/micro", "pass_at/2/macro", "pass_at/4/by_dimension/shot_size"):
        assert f"{prefix}/{part}/value" in shown
    assert f"{prefix}/pass_at/3/micro/value" not in shown  # 2, 4, 8, … and the number of samples
    assert [f"{prefix}/micro_of_sample/{number}" in shown for number in range(K)] == [True] * K
    assert "samples" not in written.numbers["runs"][1]["strict"] and samples["k"] == K
    assert f"accuracy is the mean over {K} samples" in written.card and "pass@4" in written.card


def test_statistics_of_responses_and_counts_are_of_all_samples(written: Report) -> None:
    four, one = written.numbers["runs"]
    assert (four["responses"]["n"], one["responses"]["n"]) == (N * K, N)
    (comparison,) = written.numbers["comparisons"]
    assert (comparison["samples"], comparison["test"]) == ({"a": K, "b": 1}, "sign-flip permutation")
    assert "permutation test" in re.sub(r"\s+", " ", written.html)


@pytest.mark.slow
def test_a_report_of_single_responses_has_no_word_of_samples(
    questions: Path, items: list[QAItem], tmp_path: Path
) -> None:
    single = report(tmp_path / "page", questions, write_each(tmp_path, items, drawn(items, 3))[0])
    assert not [one for one in single.page.all("section") if one.attributes.get("id") == "samples"]
    assert '"samples"' not in single.html and "Right responses" not in single.html


def test_the_explorer_has_every_sample_with_its_letter_and_response(
    questions: Path, items: list[QAItem], tmp_path: Path, written: Report
) -> None:
    responses = drawn(items, 1)
    run = read_report_run(write_samples(tmp_path / "four.jsonl", items, responses), str(questions))
    for record, item, texts in zip(explorer_records([run]), items, responses, strict=True):
        (answer,) = record.answers
        assert answer is not None and [one.response for one in answer.samples] == texts
        assert [one.correct for one in answer.samples] == [text == item.answer for text in texts]
        decided = [text for text in texts if len(text) == 1]
        assert answer.letter == (max(decided, key=decided.count) if decided else None)
        assert (answer.response, answer.cut) == (None, 0)
    embedded: Any = json.loads(re.findall(r'id="explorer-items">(.*?)</script>', written.html)[0])
    several, single = embedded["items"][0]["answers"]
    assert len(several["samples"]) == K and "samples" not in single and "samples" not in several["samples"][0]


def test_scores_without_responses_still_show_the_letters_of_the_samples(
    questions: Path, items: list[QAItem], tmp_path: Path
) -> None:
    samples = write_samples(tmp_path / "four.jsonl", items, drawn(items, 1))
    scores = tmp_path / "scores.json"
    assert main(["score", str(questions), str(samples), "--format", "json", "--out", str(scores)]) == 0
    record = explorer_records([read_report_run(scores, str(questions))])[0]
    (answer,) = record.answers
    assert answer is not None and [one.response for one in answer.samples] == [None] * K
    assert answer.samples[0] == RunAnswer(answer.samples[0].letter, answer.samples[0].correct, None, 0)
