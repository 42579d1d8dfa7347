"""Counts of what became of the responses, and warnings of results that may be a fault of the harness."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.grading.strict import REQUEST_FAILED
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.runs.fault_warnings import FEWEST
from lmms_eval_shotbench.runs.response_counts import MAX_SHARE
from lmms_eval_shotbench.runs.score import score_responses
from lmms_eval_shotbench.runs.scores_json import scores_json
from tests.support.items import make_item
from tests.support.report_runs import write_questions

REFUSAL = "I cannot see the image. Please provide the image."
FAILED = f"{REQUEST_FAILED} after 5 retries] HTTP 500: No module named 'torchvision'"


def items_of(n: int, options: int = 4, dimension: str = "shot_size") -> list[QAItem]:
    """`n` questions; each letter is right equally often."""
    texts = ("Wide", "Medium", "Close up", "Medium Wide", "Extreme close up")[:options]
    return [make_item(texts, texts_letters(options)[index % options], dimension, index) for index in range(n)]


def texts_letters(options: int) -> str:
    return "ABCDE"[:options]


def right(items: Sequence[QAItem]) -> list[str]:
    return [item.answer for item in items]


def scored(items: Sequence[QAItem], responses: Sequence[str], **more: Any) -> dict[str, Any]:
    return json.loads(json.dumps(scores_json(score_responses(items, responses, **more))))  # type: ignore[no-any-return]


def warnings(items: Sequence[QAItem], responses: Sequence[str], **more: Any) -> list[str]:
    found: list[str] = scored(items, responses, **more)["run"].get("warnings", [])
    return found


def test_undecided_responses_are_counted_by_rule_and_each_kind_has_its_count() -> None:
    items = items_of(8)
    found = scored(items, ["A", "B", "", "\n ", REFUSAL, FAILED, "It is A or B.", "<think>C</think>"])
    rules = {item["index"]: item["how"] for item in found["items"] if item["letter"] is None}
    assert sum(found["undecided_by_rule"].values()) == len(rules) == 6
    assert found["undecided_by_rule"]["empty"] == 2 and set(found["undecided_by_rule"]) == set(rules.values())
    assert list(found["undecided_by_rule"].values()) == sorted(found["undecided_by_rule"].values(), reverse=True)
    counts = {"refused": 1, "empty": 2, "failed": 1, "cut_at_limit": None, "cut_at_limit_known": 0}
    assert found["response_counts"] == counts
    assert found["unanswered"] == [5]


def test_refused_and_empty_responses_are_the_same_under_both_protocols() -> None:
    items = items_of(4)
    strict, official = (scored(items, ["A", "", REFUSAL, FAILED], protocol=one) for one in ("strict", "official"))
    counts = strict["response_counts"]
    assert (
        counts == official["response_counts"] and [counts[name] for name in ("refused", "empty", "failed")] == [1] * 3
    )


def test_the_share_of_each_letter_answered_is_beside_the_share_that_is_right() -> None:
    items = items_of(10, options=5)
    found = scored(items, ["A", "A", "A", "B", "?", "A", "B", "C", "D", "no idea"])["letters"]
    assert list(found) == list("ABCDE")
    assert found["A"] == {"answered": 0.5, "right": 0.2} and found["E"] == {"answered": 0.0, "right": 0.2}
    assert scored(items, [""] * 10)["letters"]["A"]["answered"] is None


@pytest.mark.parametrize(("cut", "known", "expected"), [([0, 3], 10, 2), ([], 4, 0), ([], 0, None)])
def test_cut_responses_are_counted_where_it_is_known_and_null_otherwise(
    cut: list[int], known: int, expected: int | None
) -> None:
    items = items_of(10)
    found = scored(items, right(items), cut_at_limit={index: index in cut for index in range(known)})
    assert found["response_counts"]["cut_at_limit"] == expected
    assert found["response_counts"]["cut_at_limit_known"] == known


KINDS: dict[str, tuple[str, str]] = {
    "refusals": (REFUSAL, "are refusals"),
    "empty": ("", "are empty"),
    "failed": (FAILED, "are missing: the first: [LMMS_EVAL_REQUEST_FAILED after 5 retries] HTTP 500: No module"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_more_than_five_percent_of_a_kind_are_warned_of_and_five_percent_are_not(kind: str) -> None:
    response, text = KINDS[kind]
    items = items_of(100)
    most = int(MAX_SHARE * len(items))
    assert warnings(items, [response] * most + right(items)[most:]) == []
    (warning,) = warnings(items, [response] * (most + 1) + right(items)[most + 1 :])
    assert warning.startswith(f"6 of 100 responses (6.0 %) {text}")


def test_cut_responses_are_warned_of_by_their_share_of_those_known() -> None:
    items = items_of(100)
    (warning,) = warnings(items, right(items), cut_at_limit={index: index < 3 for index in range(50)})
    assert warning.startswith("3 of 50 responses (6.0 %) were cut at the token limit") and "max_new_tokens" in warning


def test_one_letter_for_more_than_half_of_the_answers_is_warned_of() -> None:
    items = items_of(40)
    mostly_b = ["B"] * 24 + right(items)[24:]
    (warning,) = warnings(items, mostly_b)
    assert warning.startswith("B is 70.0 % of the answers and right in 25.0 %")
    assert warnings(items, ["B"] * 12 + right(items)[12:]) == []


def test_a_letter_that_is_right_and_never_answered_is_warned_of() -> None:
    items = items_of(60, options=5)
    blanked = [item.answer if item.answer in "ABCD" else "A" for item in items]
    assert warnings(items, blanked) == ["E is never answered and right in 20.0 %: is this letter read at all?"]
    assert warnings(items[:45], blanked[:45]) == []


def test_a_letter_that_is_right_that_often_is_no_warning_and_neither_is_one_of_two_letters() -> None:
    lopsided = [make_item(answer="B", index=index) for index in range(30)]
    assert warnings(lopsided, ["B"] * 30) == []
    two = [make_item(("yes", "no"), "AB"[index % 2], index=index) for index in range(40)]
    assert warnings(two, ["B"] * 40) == []


def test_a_dimension_without_any_answer_is_warned_of_by_name_with_its_rule() -> None:
    items = items_of(30) + [make_item(index=100 + index, dimension="camera_angle") for index in range(12)]
    (warning,) = warnings(items, right(items[:30]) + ["It depends."] * 12)
    assert warning.startswith("all 12 responses of Camera Angle are undecided, 12 by the rule ")


def test_small_runs_are_not_warned_of() -> None:
    items = items_of(FEWEST - 1)
    for response in ("", REFUSAL, FAILED, "B", "It depends."):
        assert warnings(items, [response] * len(items)) == []
    assert warnings(items_of(FEWEST), [""] * FEWEST)


def test_warnings_are_added_to_those_of_the_run_and_to_no_others() -> None:
    items = items_of(40)
    run = {"warnings": ["clips at 3 fps"]}
    assert warnings(items, right(items), run=run) == ["clips at 3 fps"]
    first, second = warnings(items, [""] * 3 + right(items)[3:], run=run)
    assert first == "clips at 3 fps" and "are empty" in second
    assert run == {"warnings": ["clips at 3 fps"]}


# ---------------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return write_questions(tmp_path / "test.tsv", n=60)


def store(path: Path, questions: Path, response_to: Callable[[QAItem], dict[str, Any]]) -> Path:
    rows = [{"index": item.source_index} | response_to(item) for item in read_questions(questions)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def score(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[dict[str, Any], str]:
    """Scores as JSON, and what was printed to stderr; the exit status must be 0."""
    assert main(["score", *map(str, arguments), "--format", "json"]) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def test_blank_text_of_the_model_is_a_wrong_response_and_the_exit_status_is_0(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = store(tmp_path / "r.jsonl", questions, lambda item: {"response": item.answer if item.source_index else ""})
    found, printed = score(capsys, questions, stored)
    assert (found["unanswered"], found["correct"], found["undecided_by_rule"]) == ([], 59, {"empty": 1})
    assert printed == ""


def test_blank_cells_of_a_table_are_blank_text(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "predictions.tsv"
    table.write_text("index\tprediction\n" + "".join(f"{index}\t\n" for index in range(60)), encoding="utf-8")
    found, _ = score(capsys, questions, table)
    assert (found["unanswered"], found["response_counts"]["empty"]) == ([], 60)


def test_a_stored_stop_reason_is_counted_in_every_wording(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reasons = ("length", "max_tokens", "MAX_TOKENS", "stop", "STOP", None)

    def response(item: QAItem) -> dict[str, Any]:
        return {"response": item.answer, "finish_reason": reasons[item.source_index % len(reasons)]}

    found, printed = score(capsys, questions, store(tmp_path / "r.jsonl", questions, response))
    assert (found["response_counts"]["cut_at_limit"], found["response_counts"]["cut_at_limit_known"]) == (30, 50)
    assert "shotbench: 30 of 50 responses (60.0 %) were cut at the token limit" in printed


def test_the_table_shows_counts_rules_and_letters(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = store(tmp_path / "r.jsonl", questions, lambda item: {"response": "" if item.source_index < 2 else "B"})
    assert main(["score", str(questions), str(stored)]) == 0
    printed = capsys.readouterr()
    assert "refused 0, empty 2, failed 0, cut at the token limit: unknown" in printed.out
    assert "undecided: empty 2" in printed.out
    assert "letters answered (right), %: A 0.0 (25.0), B 100.0 (25.0)," in printed.out
    assert "B is 100.0 % of the answers" in printed.err


# ------------------------------------------------------------------------------------------------------- the blind run


def blind_run(tmp_path: Path, questions: Path, refused: int, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    def response(item: QAItem) -> dict[str, Any]:
        return {"response": REFUSAL if item.source_index < refused else item.answer}

    stored = store(tmp_path / "blind.jsonl", questions, response)
    out = tmp_path / "blind.json"
    assert (
        main(["score", str(questions), str(stored), "--variant", "blind", "--format", "json", "--out", str(out)]) == 0
    )
    capsys.readouterr()
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def test_blind_accuracy_is_null_if_more_than_five_percent_are_refused(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = blind_run(tmp_path, questions, 3, capsys)
    assert measured["accuracy"]["micro"]["value"] == 57 / 60
    found = blind_run(tmp_path, questions, 4, capsys)
    dimensions = {"shot_size": None, "camera_movement": None}
    for name in ("accuracy", "chance_corrected"):
        assert found[name] == {"micro": None, "macro": None, "by_dimension": dimensions}
    assert (found["single"], found["prior"]["where_right"], found["prior"]["macro"]["where_wrong"]) == (None,) * 3
    assert set(found["terms"]["shot_size"].values()) == {None}
    assert found["prior"]["accuracy"] == measured["prior"]["accuracy"]
    assert (found["correct"], found["response_counts"]["refused"]) == (56, 4)


def test_blind_accuracy_is_printed_as_not_measured(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blind_run(tmp_path, questions, 4, capsys)
    arguments = ["score", str(questions), str(tmp_path / "blind.jsonl"), "--variant", "blind"]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.out.count("not measured") == 4 and "option prior" not in printed.out
    assert printed.err == "shotbench: blind accuracy is not measured: 4 of 60 responses (6.7 %) are refusals\n"
    assert main([*arguments, "--format", "csv"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"{name},{n},,,," for name, n in (("shot_size", 40), ("camera_movement", 20), ("micro", 60), ("macro", 60))
    ]


def test_refusals_in_a_run_with_pictures_leave_the_accuracy(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = store(tmp_path / "r.jsonl", questions, lambda _: {"response": REFUSAL})
    found, _ = score(capsys, questions, stored)
    assert found["accuracy"]["micro"]["value"] == 0.0 and "null" not in json.dumps(found["accuracy"])


@pytest.mark.slow
def test_robust_and_the_report_show_an_unmeasured_blind_run_as_such(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original = tmp_path / "original.json"
    stored = store(tmp_path / "r.jsonl", questions, lambda item: {"response": item.answer})
    assert main(["score", str(questions), str(stored), "--format", "json", "--out", str(original)]) == 0
    blind_run(tmp_path, questions, 4, capsys)
    arguments = [str(original), str(tmp_path / "blind.json"), "--data", str(questions)]
    assert main(["robust", *arguments, "--format", "json"]) == 0
    blind = json.loads(capsys.readouterr().out)["variants"]["blind"]
    for numbers in (blind["overall"], *blind["by_dimension"].values()):
        assert (numbers["changed"], numbers["both"]) == (None, None) and numbers["original"]["value"] == 1.0
    text = "blind accuracy is not measured: 4 of 60 responses (6.7 %) are refusals"
    assert blind["remarks"][0] == text
    assert main(["robust", *arguments]) == 0
    printed = capsys.readouterr().out
    assert text in printed and "93.3" not in printed and printed.count("not measured") == 4
    assert main(["report", *arguments, "--out", str(tmp_path / "page" / "report.html")]) == 0
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert text in page and page.count("<td>not measured</td>") == 3
    blind_run(tmp_path, questions, 3, capsys)
    assert main(["robust", *arguments, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["variants"]["blind"]["overall"]["changed"]["value"] == 57 / 60


def test_an_audit_shows_the_accuracy_of_a_blind_run_only_if_it_is_measured(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "blind.json"

    def audit(refused: int) -> tuple[dict[str, Any], str]:
        blind_run(tmp_path, questions, refused, capsys)
        assert main(["audit", str(questions), "--blind", str(run), "--format", "json"]) == 0
        found = json.loads(capsys.readouterr().out)["blind"]
        assert main(["audit", str(questions), "--blind", str(run)]) == 0
        return found, " ".join(capsys.readouterr().out.split())

    found, printed = audit(3)
    assert (found["overall"]["value"], found["by_dimension"]["shot_size"]["n"], found["refused"]) == (57 / 60, 40, 3)
    assert f"blind accuracy of {run}: 95.0 (" in printed
    found, printed = audit(4)
    assert (found["overall"], found["by_dimension"]) == (None, {"shot_size": None, "camera_movement": None})
    assert f"{run}: blind accuracy is not measured: 4 of 60 responses (6.7 %) are refusals" in printed
    assert main(["audit", str(questions), "--format", "json"]) == 0
    assert "blind" not in json.loads(capsys.readouterr().out)


def test_an_audit_refuses_a_run_with_pictures_and_one_on_other_questions(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blind_run(tmp_path, questions, 0, capsys)
    few = write_questions(tmp_path / "few.tsv", n=8)
    assert main(["audit", str(few), "--blind", str(tmp_path / "blind.json")]) == 2
    assert "has other questions than those that are audited" in capsys.readouterr().err
    stored, seen = store(tmp_path / "r.jsonl", questions, lambda _: {"response": "A"}), tmp_path / "seen.json"
    assert main(["score", str(questions), str(stored), "--format", "json", "--out", str(seen)]) == 0
    assert main(["audit", str(questions), "--blind", str(seen)]) == 2
    assert "is not a run of a variant" in capsys.readouterr().err


def test_a_run_with_pictures_may_not_be_without_accuracies(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = store(tmp_path / "r.jsonl", questions, lambda item: {"response": item.answer})
    edited = tmp_path / "edited.json"
    assert main(["score", str(questions), str(stored), "--format", "json", "--out", str(edited)]) == 0
    scores = json.loads(edited.read_text(encoding="utf-8"))
    scores["accuracy"]["micro"] = None
    edited.write_text(json.dumps(scores), encoding="utf-8")
    assert main(["report", str(edited), "--out", str(tmp_path / "page" / "report.html")]) == 2
    assert "accuracy.micro is None" in capsys.readouterr().err
