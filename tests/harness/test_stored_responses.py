"""What is stored with a response of any backend: stop reason, token count, thought; and blank or absent text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.host
pytest.importorskip("lmms_eval")
pytest.importorskip("openai")

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.runs.lmms_eval_samples import NULL, stored_response
from lmms_eval_shotbench.runs.responses import StoredResponse
from tests.harness.test_lmms_eval import isolated_caches, lmms_eval, questions, read_scores, run_eval, stored  # noqa: F401
from tests.support.openai_server import Endpoint, serve
from tests.support.report_runs import write_questions

LIMIT = 4


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    with serve(Endpoint()) as endpoint:
        yield endpoint


def sample(counts: dict[str, Any] | None, limit: int | None = LIMIT, text: object = "B") -> dict[str, Any]:
    """A sample as lmms-eval returns it."""
    arguments: list[Any] = ["text", {"max_new_tokens": limit} if limit else {}, 0, "task", "test"]
    return {"doc_id": 0, "resps": [[text]], "arguments": arguments, "token_counts": [counts]}


@pytest.mark.parametrize(
    ("counts", "batched", "expected"),
    [
        ({"output_tokens": 4}, False, StoredResponse("B", "length", 4)),
        ({"output_tokens": 3}, False, StoredResponse("B", "stop", 3)),
        ({"output_tokens": 4}, True, StoredResponse("B")),  # padded to the longest response of the batch
        ({"input_tokens": 9, "output_tokens": 4}, True, StoredResponse("B", "length", 4, input_tokens=9)),
        ({"input_tokens": 0, "output_tokens": 1}, False, StoredResponse("B")),  # no usage: a number of words
        (
            {"input_tokens": 9, "output_tokens": 4, "finish_reason": "stop"},
            False,
            StoredResponse("B", "stop", 4, input_tokens=9),
        ),
        (  # an identical question was asked before; logged by this package
            {"input_tokens": 0, "output_tokens": 0, "finish_reason": "stop", "seconds": 0.0},
            False,
            StoredResponse("B", "stop", 0, input_tokens=0, seconds=0.0),
        ),
        ({"finish_reason": "length"}, False, StoredResponse("B", "length")),
        ({}, False, StoredResponse("B")),
        (None, False, StoredResponse("B")),
    ],
    ids=str,
)
def test_a_response_is_known_to_be_cut_only_where_the_count_is_its_own(
    counts: dict[str, Any] | None, batched: bool, expected: StoredResponse
) -> None:
    assert stored_response(sample(counts), batched) == expected


def test_without_a_limit_or_counts_nothing_is_known() -> None:
    assert stored_response(sample({"output_tokens": 4}, limit=None), False).cut_at_limit is None
    assert stored_response({"resps": [["B"]]}, False) == StoredResponse("B")
    assert stored_response(sample(None, text=None), False) == StoredResponse.absent(NULL)


def eval_with(endpoint: Endpoint, out: Path, data: Path, *more: str, model: str = "async_openai") -> int:
    arguments = f"model=m,base_url={endpoint.url},max_retries=1,retry_backoff_s=0,num_cpus=1"
    limits = ("--gen_kwargs", f"max_new_tokens={LIMIT}", "--limit", "3")
    return run_eval(out, data, model, arguments, "shotbench_shot_size", *limits, *more)


def samples(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "samples.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_server_that_cuts_every_response_is_counted_and_scored_again_alike(
    endpoint: Endpoint,
    studio_shards: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    endpoint.answer, endpoint.completion_tokens = "<think>The shot shows", LIMIT
    assert eval_with(endpoint, tmp_path / "run", studio_shards) == 0
    assert "cut at the token limit: 3 of 3" in capsys.readouterr().out
    counts = read_scores(tmp_path / "run")["response_counts"]
    assert counts == {"refused": 0, "empty": 0, "failed": 0, "cut_at_limit": 3, "cut_at_limit_known": 3}
    for row in samples(tmp_path / "run"):
        assert (row["finish_reason"], row["output_tokens"], row["thought"]) == ("length", LIMIT, "The shot shows")
    replayed = f"responses={tmp_path}/run/samples.jsonl"
    assert run_eval(tmp_path / "again", studio_shards, "replay", replayed, "shotbench_shot_size", "--limit", "3") == 0
    assert read_scores(tmp_path / "again")["response_counts"] == counts


def test_blank_text_of_a_server_is_an_empty_response(endpoint: Endpoint, studio_shards: Path, tmp_path: Path) -> None:
    endpoint.answer = ""
    assert eval_with(endpoint, tmp_path / "run", studio_shards) == 0
    scores = read_scores(tmp_path / "run")
    assert (scores["n"], scores["unanswered"], scores["undecided_by_rule"]) == (3, [], {"empty": 3})
    assert [row["response"] for row in samples(tmp_path / "run")] == [""] * 3


@pytest.mark.parametrize("model", ["async_openai", "openai"])
def test_null_content_is_no_response_and_is_asked_again_by_the_next_run(
    endpoint: Endpoint, studio_shards: Path, tmp_path: Path, model: str
) -> None:
    endpoint.answer = None
    assert eval_with(endpoint, tmp_path / "run", studio_shards, model=model) == 1
    scores = read_scores(tmp_path / "run")
    assert (scores["n"], len(scores["unanswered"])) == (3, 3)
    for row in samples(tmp_path / "run"):
        assert "null content" in row["unanswered"] and "response" not in row
    endpoint.answer, asked = "None", len(endpoint.requests)
    assert eval_with(endpoint, tmp_path / "run", studio_shards, model=model) == 0
    assert len(endpoint.requests) == asked + 3
    assert [row["response"] for row in samples(tmp_path / "run")] == ["None"] * 3  # the text of a model


@pytest.mark.parametrize("model", ["async_openai", "openai"])
@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_thought_without_an_answer_that_the_server_split_off_is_cut_at_the_limit(
    endpoint: Endpoint, studio_shards: Path, tmp_path: Path, model: str, field: str
) -> None:
    endpoint.answer, endpoint.message = None, {field: "The shot shows"}
    assert eval_with(endpoint, tmp_path / "run", studio_shards, model=model) == 0
    counts = read_scores(tmp_path / "run")["response_counts"]
    assert (counts["failed"], counts["cut_at_limit"], counts["cut_at_limit_known"]) == (0, 3, 3)


def test_added_tags_apply_to_the_samples_and_scores_of_both_harness_and_shotbench(
    studio_shards: Path,
    questions: list[QAItem],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replies = {item.source_index: f"<<It is A or B.>>{item.answer}" for item in questions}
    replay = f"responses={stored(tmp_path / 'r.jsonl', replies)}"
    tags = ("--reasoning_tags", '[["<<", ">>"]]')
    arguments = (studio_shards, "replay", replay, "shotbench_shot_size")
    assert run_eval(tmp_path / "run", *arguments, *tags) == 0
    scores = read_scores(tmp_path / "run")
    assert scores["accuracy"]["micro"]["value"] == 1.0 and scores["run"]["reasoning_tags"] == [["<<", ">>"]]
    assert {row["thought"] for row in samples(tmp_path / "run")} == {"It is A or B."}
    (logged,) = (tmp_path / "run" / "lmms_eval").rglob("*_samples_*.jsonl")
    rows = [json.loads(line) for line in logged.read_text(encoding="utf-8").splitlines()]
    assert {row["shotbench_accuracy"] for row in rows} == {1.0}
    assert run_eval(tmp_path / "without", *arguments) == 0
    assert "thought" not in samples(tmp_path / "without")[0]
    assert run_eval(tmp_path / "refused", *arguments, "--reasoning_tags", "<<") == 2


def test_failed_requests_stay_unanswered_and_the_warning_quotes_the_first_error(
    endpoint: Endpoint, studio_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.script = [400]
    arguments = f"model=m,base_url={endpoint.url},max_retries=1,retry_backoff_s=0,num_cpus=1"
    assert run_eval(tmp_path / "run", studio_shards, "async_openai", arguments, "shotbench", "--limit", "3") == 1
    scores, printed = read_scores(tmp_path / "run"), capsys.readouterr().err
    n = scores["n"]
    assert len(scores["unanswered"]) == scores["response_counts"]["failed"] == n
    assert f"{n} of {n} responses (100.0 %) are missing: the first: [LMMS_EVAL_REQUEST_FAILED" in printed
    assert "scripted 400" in printed


@pytest.mark.parametrize("group", ["shotbench_reasoning", "shotbench_mirrored"])
def test_samples_that_lmms_eval_stored_give_the_scores_of_the_same_responses(
    group: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_questions(tmp_path / "test.tsv")
    replies = dict.fromkeys(range(12), "<think>Not A.</think><answer>B</answer>") | {3: "", 4: "None"}
    replies[5] = "[LMMS_EVAL_REQUEST_FAILED after 5 retries] HTTP 500"
    replayed = stored(tmp_path / "r.jsonl", replies)
    model = ("--model", "replay", "--model_args", f"responses={replayed}", "--tasks")
    tasks = f"{group}_shot_size,{group}_camera_movement"
    # `--reasoning_tags` makes lmms-eval strip the thoughts before it grades
    theirs = (
        "--log_samples",
        "--output_path",
        str(tmp_path / "theirs"),
        "--reasoning_tags",
        '[["<think>","</think>"]]',
    )
    finished = lmms_eval(data, *model, tasks, *theirs)
    assert finished.returncode == 0, finished.stdout[-2000:]
    variant = ("--variant", "mirrored") if "mirrored" in group else ()
    scores = []
    for arguments in ((tmp_path / "theirs",), (replayed, *variant)):
        assert main(["score", str(data), *map(str, arguments), "--format", "json"]) == 1
        scores.append(json.loads(capsys.readouterr().out))
    assert scores[0] == scores[1] and scores[0]["n"] == 12 and scores[0]["unanswered"] == [5]
