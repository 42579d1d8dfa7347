"""Several samples a question in `score`, `compare`, `robust` and scores.json, from stored responses."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.grading.strict import REQUEST_FAILED
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.runs.blind_run import blind_run
from lmms_eval_shotbench.runs.score import Sample, score_responses, score_samples
from lmms_eval_shotbench.runs.scores_json import scores_json
from lmms_eval_shotbench.runs.scores_schema import scores_schema
from lmms_eval_shotbench.runs.stored_runs import read_run, run_of_scores
from tests.runs.test_scores_schema import closed
from tests.support.items import make_item
from tests.support.report_runs import write_questions

K, N = 4, 12


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return write_questions(tmp_path / "test.tsv", n=N)


@pytest.fixture
def items(questions: Path) -> list[QAItem]:
    return read_questions(questions)


def drawn(items: Sequence[QAItem], seed: int, skill: float = 0.5) -> list[list[str]]:
    """K responses to each item, some of them undecided."""
    draw = random.Random(seed)
    return [
        [item.answer if draw.random() < skill else draw.choice(["A", "B", "C", "D", "It is A or B."]) for _ in range(K)]
        for item in items
    ]


def write_samples(path: Path, items: Sequence[QAItem], responses: Sequence[Sequence[str]]) -> Path:
    """K lines for each question, as `shotbench eval --samples K` writes them."""
    rows = [
        {"index": item.source_index, "response": text, "sample": number}
        for item, texts in zip(items, responses, strict=True)
        for number, text in enumerate(texts, start=1)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_each(folder: Path, items: Sequence[QAItem], responses: Sequence[Sequence[str]]) -> list[Path]:
    """One file for each sample, without numbers."""
    paths = []
    for number in range(K):
        rows = [
            {"index": item.source_index, "response": texts[number]}
            for item, texts in zip(items, responses, strict=True)
        ]
        paths.append(folder / f"seed{number}.jsonl")
        paths[-1].write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return paths


def printed(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> str:
    assert main(list(map(str, arguments))) == status
    return capsys.readouterr().out


def scored(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed(capsys, "score", *arguments, "--format", "json", status=status))
    return found


def test_numbered_lines_and_several_files_give_the_same_scores(
    questions: Path, items: list[QAItem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    responses = drawn(items, 1)
    files = write_each(tmp_path, items, responses)
    numbered = scored(capsys, questions, write_samples(tmp_path / "samples.jsonl", items, responses))
    assert numbered == scored(capsys, questions, *files)
    alone = [scored(capsys, questions, path) for path in files]
    of_each = [one["accuracy"]["micro"]["value"] for one in alone]
    assert numbered["samples"]["micro_of_sample"] == pytest.approx(of_each)
    for average in ("micro", "macro"):
        mean = fmean(one["accuracy"][average]["value"] for one in alone)
        assert numbered["accuracy"][average]["value"] == pytest.approx(mean)
    assert numbered["correct"] == sum(one["correct"] for one in alone)
    assert numbered["answered_rate"] == pytest.approx(fmean(one["answered_rate"] for one in alone))
    for item, several in zip(numbered["items"], zip(*(one["items"] for one in alone), strict=True), strict=True):
        assert item["letters"] == [one["letter"] for one in several]
        assert item["share_correct"] == fmean(one["correct"] for one in several)
    assert (numbered["n"], numbered["samples"]["k"], numbered["samples"]["temperature"]) == (N, K, None)


def test_the_schema_describes_every_field_and_one_sample_has_none_of_them(items: list[QAItem]) -> None:
    responses = drawn(items, 2)
    samples = [Sample([texts[number] for texts in responses]) for number in range(K)]
    described = Draft202012Validator(closed(scores_schema()))
    found = json.loads(json.dumps(scores_json(score_samples(items, samples, run={"temperature": 0.6}))))
    assert not list(described.iter_errors(found)) and found["samples"]["temperature"] == 0.6
    one = score_samples(items, samples[:1])
    assert scores_json(one) == scores_json(score_responses(items, samples[0].responses))
    assert "samples" not in scores_json(one) and "letters" not in scores_json(one)["items"][0]


def test_table_and_csv_name_the_samples_the_vote_and_pass_at_k(
    questions: Path, items: list[QAItem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_samples(tmp_path / "samples.jsonl", items, drawn(items, 3))
    numbers = scored(capsys, questions, path)
    table = printed(capsys, "score", questions, path)
    assert f"{numbers['correct']} of {N * K} right" in table and f"{K} samples of each item" in table
    passes = numbers["samples"]["pass_at"]
    assert ", ".join(f"pass@{j} {100 * passes[str(j)]['micro']['value']:.2f}" for j in (1, 2, 4)) in table
    micro = next(line for line in table.splitlines() if line.startswith("over items (micro)"))
    values = [numbers["samples"]["majority"]["micro"]["value"], passes["4"]["micro"]["value"]]
    assert micro.split()[-2:] == [f"{100 * value:.2f}" for value in values]
    rows = list(csv.DictReader(printed(capsys, "score", questions, path, "--format", "csv").splitlines()))
    assert list(rows[0])[-5:] == ["majority", "pass@1", "pass@2", "pass@3", "pass@4"]
    assert all(row["pass@1"] == row["accuracy"] for row in rows)


def test_a_sample_without_response_is_wrong_and_shows_in_counts_and_exit_status(
    questions: Path, items: list[QAItem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    responses = [[item.answer] * K for item in items]
    path = write_samples(tmp_path / "samples.jsonl", items, responses)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[5] = {name: rows[5][name] for name in ("index", "sample")} | {"unanswered": "HTTP 500"}
    del rows[9]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = scored(capsys, questions, path, status=1)
    assert found["unanswered"] == [1, 2] and found["response_counts"]["failed"] == 2
    assert found["accuracy"]["micro"]["value"] == pytest.approx((N * K - 2) / (N * K))
    assert found["samples"]["majority"]["micro"]["value"] == 1.0
    assert found["items"][1]["letters"] == ["B", None, "B", "B"]
    assert scored(capsys, questions, path, "--allow-missing") == found


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"index": 1, "sample": 1}, {"index": 1, "sample": 1}], "question 1 is answered twice; keep one response per"),
        ([{"index": 1, "sample": 1}, {"index": 1, "sample": 3}], "numbered 1, 3, but none numbered 2"),
        ([{"index": 1, "sample": 0}], "but none numbered 1"),
        ([{"index": 1, "sample": 1.5}], "no integer in column `sample`"),
        ([{"index": 1, "sample": 2}] * 2, "answered twice in sample 2"),
        ([{"index": 99, "sample": 1}], "match none of these questions (index 99)"),
    ],
)
def test_badly_numbered_samples_are_named(
    questions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rows: list[dict[str, object]],
    message: str,
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(row | {"response": "A"}) + "\n" for row in rows))
    assert main(["score", str(questions), str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error and str(path) in error


def test_counts_and_warnings_are_of_all_responses() -> None:
    items = [make_item(answer="ABCD"[index % 4], index=index) for index in range(40)]
    good = [item.answer for item in items]
    failed = [f"{REQUEST_FAILED}: HTTP 500]"] * 10 + good[10:]
    samples = [Sample(good), Sample(failed, cut_at_limit={12: True, 13: False}), Sample([""] * 20 + good[20:])]
    found = score_samples(items, samples)
    counts = found.counts
    assert (counts.n, counts.failed, counts.empty) == (120, 10, 20)
    assert (counts.cut_at_limit, counts.cut_at_limit_known) == (1, 2)
    assert [warning.split(":")[0] for warning in found.warnings] == [
        "20 of 120 responses (16.7 %) are empty",
        "10 of 120 responses (8.3 %) are missing",
        "1 of 2 responses (50.0 %) were cut at the token limit",
    ]
    few = [Sample(["A"] * 10)] * 4  # 40 responses, but of 10 questions only
    assert not score_samples(items[:10], few).warnings


# -------------------------------------------------------------------------------------------------------- comparisons


def compared(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed(capsys, "compare", *arguments, "--format", "json"))
    return found


def test_runs_of_different_numbers_of_samples_are_paired_by_the_share_of_each_question(
    questions: Path, items: list[QAItem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    low, high = drawn(items, 4, 0.2), drawn(items, 5, 0.9)
    a = write_each(tmp_path, items, low)[0]
    b = write_samples(tmp_path / "b.jsonl", items, high)
    found = compared(capsys, questions, a, b)
    shares = [texts.count(item.answer) / K for item, texts in zip(items, high, strict=True)]
    first = [texts[0] == item.answer for item, texts in zip(items, low, strict=True)]
    assert (found["samples"], found["test"]) == ({"a": 1, "b": K}, "sign-flip permutation")
    assert found["overall"]["difference"] == pytest.approx(fmean(shares) - fmean(first))
    assert found["items"]["gained"] == [
        item.source_index for item, old, new in zip(items, first, shares, strict=True) if new > old
    ]
    assert found["overall"]["n"] == N and "p" not in found["macro"]
    assert any("samples of each item: 1 in A, 4 in B" in remark for remark in found["remarks"])
    stored = tmp_path / "b.json"
    stored.write_text(printed(capsys, "score", questions, b, "--format", "json"))
    again = compared(capsys, questions, a, stored)
    assert {name: again[name] for name in ("overall", "macro", "by_dimension", "items")} == {
        name: found[name] for name in ("overall", "macro", "by_dimension", "items")
    }
    assert "sign-flip" in printed(capsys, "compare", questions, a, b)


def test_equal_samples_compare_as_one_sample_does(
    questions: Path, items: list[QAItem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = [(tmp_path / name, [[texts[0]] * K for texts in drawn(items, seed)]) for name, seed in (("a", 6), ("b", 7))]
    several = [write_samples(path.with_suffix(".jsonl"), items, responses) for path, responses in one]
    single = []
    for path, responses in one:
        path.mkdir()
        single.append(write_each(path, items, responses)[0])
    found, expected = compared(capsys, questions, *several), compared(capsys, questions, *single)
    for part in ("overall", "macro"):
        assert found[part] == pytest.approx(expected[part])
    assert expected["test"] == "McNemar" and found["items"] == expected["items"]


def test_robust_uses_the_votes_and_says_so(
    questions: Path, items: list[QAItem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lmms_eval_shotbench.questions.variants import variant_named

    mirrored = variant_named("mirrored").of(items)
    for name, asked, more in (("original", items, ()), ("mirrored", mirrored, ("--variant", "mirrored"))):
        path = write_samples(tmp_path / f"{name}.jsonl", asked, [[item.answer] * 3 + ["A"] for item in asked])
        out = tmp_path / f"{name}.json"
        out.write_text(printed(capsys, "score", questions, path, "--format", "json", *more))
    arguments = [tmp_path / "original.json", tmp_path / "mirrored.json", "--data", questions]
    table = printed(capsys, "robust", *arguments)
    assert "majority votes: of 4 and 4 samples" in table
    assert read_run(tmp_path / "original.json").responses == N * K


def test_a_blind_run_of_several_samples_measures_the_mean_and_counts_refusals_of_all(items: list[QAItem]) -> None:
    from lmms_eval_shotbench.questions.variants import variant_named

    asked = variant_named("blind").of(items)
    responses = [Sample([item.answer for item in asked]), Sample(["A"] * N), Sample([""] * N)]
    found = json.loads(json.dumps(scores_json(score_samples(asked, responses))))
    blind = blind_run(run_of_scores("blind", found, Path("blind.json")), items)
    assert blind.overall is not None and blind.n == N
    assert blind.overall.value == pytest.approx(found["accuracy"]["micro"]["value"])
    refusals = [Sample(["I cannot see the image."] * 6 + ["A"] * 6)] * 2
    unmeasured = json.loads(json.dumps(scores_json(score_samples(asked, refusals, run={"variant": "blind"}))))
    assert unmeasured["response_counts"]["refused"] == 12
    assert unmeasured["accuracy"]["micro"] is None and unmeasured["samples"]["majority"]["macro"] is None
    assert unmeasured["samples"]["pass_at"]["2"]["micro"] is None and unmeasured["samples"]["k"] == 2
    assert not list(Draft202012Validator(closed(scores_schema())).iter_errors(unmeasured))
