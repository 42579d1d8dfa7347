"""All tasks against a server that misbehaves: what never got an answer is listed and asked again, nothing else."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.host, pytest.mark.timeout(900)]
pytest.importorskip("lmms_eval")
pytest.importorskip("openai")

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.harness.run_files import FILES
from tests.harness.test_lmms_eval import isolated_caches, read_scores  # noqa: F401
from tests.support.killed_evaluations import NUMBER, all_dimensions, answered
from tests.support.openai_server import (
    ANSWER,
    HALF,
    HANG,
    HANG_UP,
    HTML,
    NO_CHOICES,
    NULL,
    SLOW,
    Endpoint,
    Request,
    serve,
)
from tests.support.small_shards import write_small_shards

BAD = [NULL, NO_CHOICES, HTML, HALF, HANG_UP, HANG, 429, 500, 503, 400]
REASONS = {  # what a question is reported to lack, by how the server misbehaves
    NULL: "null content",
    NO_CHOICES: "no choices",
    HTML: "no choices: <html>",
    HALF: "",
    HANG_UP: "Connection error",
    HANG: "timed out",
    429: "Error code: 429",
    500: "Error code: 500",
    503: "Error code: 503",
    400: "Error code: 400",
}
ATTEMPTS = 2  # of lmms-eval; the OpenAI client tries some of them three times


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve(Endpoint(answer=lambda request: answered(request.text))) as endpoint:
        yield endpoint


def number_of(request: Request) -> int:
    return int(NUMBER.findall(request.text)[-1])


class Misbehaviour:
    """Questions 0 to 9 always fail, each in its own way; 10 to 19 fail once in the same way; others are served slowly.

    A way fails as a client's attempt: the OpenAI client itself tries again after some of them.
    """

    def __init__(self) -> None:
        self.asked: Counter[int] = Counter()
        self.lock = threading.Lock()

    def __call__(self, request: Request) -> int:
        number = number_of(request)
        with self.lock:
            self.asked[number] += 1
            if number < len(BAD):
                return BAD[number]
            if number < 2 * len(BAD):
                return BAD[number - len(BAD)] if self.asked[number] == 1 else ANSWER
            return SLOW


def run(endpoint: Endpoint, data: Path, out: Path, model: str, *more: str) -> int:
    concurrency = {"openai": "num_concurrent=8", "async_openai": "num_cpus=8"}[model]
    arguments = f"model=m,base_url={endpoint.url},api_key=none,timeout=1,retry_backoff_s=0,{concurrency}"
    words = ["--model", model, "--model_args", f"{arguments},max_retries={ATTEMPTS}", "--tasks", "shotbench"]
    return main(["eval", *words, "--data", str(data), "--out", str(out), "--verbosity", "CRITICAL", *more])


def rows(out: Path) -> dict[int, dict[str, Any]]:
    lines = (out / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["index"]: row for row in map(json.loads, lines)}


@pytest.mark.parametrize("model", ["openai", "async_openai"])
def test_only_what_never_got_an_answer_is_listed_and_asked_again(
    endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    numbers = all_dimensions(3, 3)
    data, out, n = write_small_shards(tmp_path / "shards", numbers), tmp_path / "out", sum(numbers.values())
    endpoint.script = misbehaviour = Misbehaviour()
    assert run(endpoint, data, out, model) == 1
    failing = list(range(len(BAD)))
    assert f"no response for {len(BAD)} items" in capsys.readouterr().out
    scores, found = read_scores(out), rows(out)
    assert (scores["n"], scores["unanswered"], scores["correct"]) == (n, failing, n - len(BAD))
    assert scores["response_counts"]["failed"] == len(BAD)
    for number, act in enumerate(BAD):
        assert REASONS[act] in found[number]["unanswered"] and "response" not in found[number]
    assert all(found[number]["response"].endswith(f"question {number})") for number in range(len(BAD), n))
    assert misbehaviour.asked[0] == misbehaviour.asked[9] == ATTEMPTS
    assert all(misbehaviour.asked[number] == 1 for number in range(2 * len(BAD), n))

    first = {name: (out / name).read_text() for name in FILES}
    endpoint.script, before = [ANSWER], len(endpoint.requests)
    assert run(endpoint, data, out, model) == 0
    assert sorted(map(number_of, endpoint.requests[before:])) == failing
    scores = read_scores(out)
    assert (scores["n"], scores["unanswered"], scores["correct"]) == (n, [], n)
    assert list(rows(out)) == list(range(n))
    assert {name: (out / "previous" / "001" / name).read_text() for name in FILES} == first
    assert [path.name for path in (out / "previous").iterdir()] == ["001"]

    assert run(endpoint, data, out, model) == 0
    assert len(endpoint.requests) == before + len(BAD), "nothing is asked again"


@pytest.mark.parametrize("model", ["openai", "async_openai"])
def test_a_server_that_fails_every_request_stops_the_run_which_changes_no_earlier_one(
    endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    numbers = {"shot_size": 70}
    data, out = write_small_shards(tmp_path / "shards", numbers), tmp_path / "out"
    assert run(endpoint, data, out, model) == 0
    before, asked = {name: (out / name).read_bytes() for name in FILES}, len(endpoint.requests)
    endpoint.script = [400]
    capsys.readouterr()
    assert run(endpoint, data, out, model, "--gen_kwargs", "max_new_tokens=9") == 1
    printed = capsys.readouterr().err
    assert "50 requests in a row failed, the last: " in printed and "scripted 400" in printed
    assert f"0 of 70 responses are kept in {out}/responses" in printed
    assert f"{out} still holds the complete run" in printed and "Traceback" not in printed
    assert len(endpoint.requests) - asked < 70 * ATTEMPTS
    assert {name: (out / name).read_bytes() for name in FILES} == before
    assert not (out / "previous").exists() and not (out / "incomplete").exists()
