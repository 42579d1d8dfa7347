"""What a stored file says of each response: its text, its sample, and whether there is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.grading.strict import has_response
from lmms_eval_shotbench.runs.responses import BadResponses, StoredResponse, entries, read_samples


def write_lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_an_item_recorded_as_unanswered_has_no_response_and_keeps_its_reason(tmp_path: Path) -> None:
    line = {"index": 7, "item_id": "film-7", "dimension": "shot_size", "unanswered": "HTTP 500", "finish_reason": "x"}
    (stored,) = read_samples(write_lines(tmp_path / "samples.jsonl", line)).values()
    assert (stored.unanswered, stored.finish_reason) == ("HTTP 500", "x")
    assert not has_response(stored.text) and "HTTP 500" in stored.text


@pytest.mark.parametrize("value", [None, float("nan")], ids=str)
def test_null_and_nan_are_no_response(tmp_path: Path, value: Any) -> None:
    (stored,) = read_samples(write_lines(tmp_path / "r.jsonl", {"index": 0, "response": value})).values()
    assert stored.unanswered and not has_response(stored.text)


@pytest.mark.parametrize("text", ["None", "nan", "NaN", "null", "NA", "", " "])
def test_a_text_is_a_response_whatever_word_it_is(tmp_path: Path, text: str) -> None:
    (stored,) = read_samples(write_lines(tmp_path / "r.jsonl", {"index": 0, "response": text})).values()
    assert stored == StoredResponse(text)


def test_a_stored_failure_of_the_harness_is_unanswered_with_its_text_as_the_reason(tmp_path: Path) -> None:
    failure = "[LMMS_EVAL_REQUEST_FAILED after 5 retries] HTTP 500"
    (stored,) = read_samples(write_lines(tmp_path / "r.jsonl", {"index": 0, "response": failure})).values()
    assert (stored.text, stored.unanswered) == (failure, failure)


def test_samples_of_a_question_are_numbered(tmp_path: Path) -> None:
    rows = [{"index": 3, "response": "A", "sample": 1}, {"index": 3, "unanswered": "timeout", "sample": 2}]
    path = write_lines(tmp_path / "r.jsonl", *rows, {"index": 4, "response": "B", "output_tokens": 9})
    assert [(one.index, one.sample, one.response.unanswered) for one in entries(path)] == [
        (3, 1, ""),
        (3, 2, "timeout"),
        (4, 1, ""),
    ]
    assert [one.response.output_tokens for one in entries(path)] == [None, None, 9]


@pytest.mark.parametrize(
    ("samples", "message"),
    [((2, 2), "question 3 is answered twice in sample 2"), ((1, 2), "question 3 is answered in the samples 1 and 2")],
)
def test_several_responses_to_a_question_are_refused(tmp_path: Path, samples: tuple[int, int], message: str) -> None:
    rows = [{"index": 3, "response": "A", "sample": sample} for sample in samples]
    with pytest.raises(BadResponses, match=message):
        read_samples(write_lines(tmp_path / "r.jsonl", *rows))
