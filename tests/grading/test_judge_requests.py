"""Requests of the judge: failing, hung and rejecting endpoints, API keys, and a missing client."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from lmms_eval_shotbench.grading.chat_endpoint import pause_seconds
from lmms_eval_shotbench.grading.judge import Judge, JudgeReport, judge_prompt
from tests.support import judge_server
from tests.support.judge_server import HANGS, HANGS_UP, KEY, OPEN, Act, Endpoint, ask, error, kept, question, says
from tests.support.ports import refusing_port

endpoint, judge = judge_server.endpoint, judge_server.judge  # fixtures: pytest finds them by these names

TIMEOUT = 1.0  # seconds, in which a request reaches the server even on a busy machine


@pytest.mark.parametrize(
    "failure",
    [
        error(500),
        error(503),
        error(408),
        error(409),
        error(429, Retry_After="0"),
        HANGS_UP,
        Act(b"{not json"),
        Act(b"[]"),
        Act(b"null"),
        Act(b'{"choices": []}'),
        Act(b'{"error": "overloaded"}'),
        Act(b"\xff\xfe"),
        Act(b"[" * 100_000),
        says(None),
        says("  "),
        says(["B"]),
        says("B" * 1_000_000),
        Act(b"B", headers=(("Content-Encoding", "gzip"),)),
        replace(error(500), body=b"\xff" * 1000),
        replace(error(502, Content_Encoding="gzip"), body=b"no gzip"),
    ],
    ids=lambda act: f"{act.status}-{act.body[:12]!r}",
)
def test_transient_errors_are_retried(endpoint: Endpoint, judge: Judge, failure: Act) -> None:
    endpoint.script[0] = [failure, failure, says("C")]
    assert ask(judge) == JudgeReport({0: "C"}, 1, 0, 0, 0, "")
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize(
    ("failure", "named"),
    [
        (error(500), "HTTP 500"),
        (error(429), "HTTP 429"),
        (HANGS_UP, "connection failed"),
        (Act(b"{not json"), "no chat completion: {not json"),
        (Act(b'{"choices": []}'), "no chat completion"),
        (says(None), "without text"),
        (says("B" * 1_000_000), "more than 262144 bytes"),
    ],
)
def test_repeated_errors_are_counted_after_three_requests_and_not_cached(
    endpoint: Endpoint, judge: Judge, failure: Act, named: str
) -> None:
    endpoint.script[0] = [failure]
    report = ask(judge)
    assert named in report.first_error and len(report.first_error) < 250
    assert replace(report, first_error="") == JudgeReport({}, 1, 0, 0, failed=1, first_error="")
    assert len(endpoint.requests) == 3
    assert kept(judge) == []
    endpoint.script[0] = [says("A")]
    assert ask(judge).letters == {0: "A"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_client_errors_are_not_retried(endpoint: Endpoint, judge: Judge, status: int) -> None:
    endpoint.script[0] = [error(status)]
    report = ask(judge)
    assert (report.failed, report.letters) == (1, {})
    assert report.first_error.startswith(f"HTTP {status}: ")
    assert len(endpoint.requests) == 1


@pytest.mark.slow
@pytest.mark.parametrize("hung", [HANGS, Act(b" " * 180_000, trickle=True)], ids=["hung", "trickle"])
def test_requests_to_a_hung_server_time_out(endpoint: Endpoint, judge: Judge, hung: Act) -> None:
    endpoint.script[0] = [hung]
    report = ask(replace(judge, timeout_seconds=TIMEOUT))
    assert (report.failed, report.first_error) == (1, "no reply within 1 s")
    assert len(endpoint.requests) == 3


def test_retry_after_is_honoured_up_to_the_maximum_pause(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.script[0] = [error(429, Retry_After="3600"), says("B")]
    started = time.monotonic()
    assert ask(judge).letters == {0: "B"}
    assert time.monotonic() - started >= 0.3  # the requested hour is capped


def test_pauses_double_up_to_the_cap_and_invalid_headers_are_ignored() -> None:
    pauses = [pause_seconds(attempt, "") for attempt in (1, 2, 3, 4, 5, 6, 10**6)]
    assert pauses == [0.5, 1, 2, 4, 8, 8, 8]
    assert pause_seconds(1, "2.5") == 2.5
    assert pause_seconds(1, "inf") == 8
    for odd in ("nan", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "soon"):
        assert pause_seconds(1, odd) == 0.5


def test_an_endpoint_that_refuses_connections_is_given_up_after_twenty_items(judge: Judge) -> None:
    with refusing_port() as port:
        report = ask(replace(judge, base_url=f"http://127.0.0.1:{port}/v1"), count=60)
    assert (report.failed, report.asked, report.letters) == (60, 20, {})
    assert report.first_error.startswith("connection failed")


def test_a_dead_endpoint_is_given_up_after_twenty_items(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.otherwise = error(500)
    report = ask(replace(judge, tries=2), count=200)
    assert (report.asked, report.failed, report.undecided) == (20, 200, 0)
    assert len(endpoint.requests) == 40


@pytest.mark.slow
def test_a_second_run_resumes_after_an_endpoint_failed_midway(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.otherwise = error(400)
    endpoint.script = {index: [says("A")] for index in range(30)}
    report = ask(judge, count=200)
    assert (len(report.letters), report.asked, report.failed) == (30, 60, 170)
    endpoint.otherwise, endpoint.requests = says("B"), []
    assert ask(judge, count=200).from_cache == 30
    assert len(endpoint.requests) == 170


@pytest.mark.slow
def test_single_failures_do_not_stop_the_rest(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.script = {index: [error(400)] for index in range(0, 100, 2)}
    report = ask(judge, count=100)
    assert (report.letters, report.failed) == (dict.fromkeys(range(1, 100, 2), "B"), 50)


def test_requests_run_concurrently(endpoint: Endpoint, judge: Judge) -> None:
    endpoint.otherwise = replace(says("B"), wait_for=threading.Barrier(16).wait)
    assert ask(replace(judge, workers=16), count=32).letters == dict.fromkeys(range(32), "B")
    assert endpoint.most_under_way == 16


def test_a_request_is_one_short_deterministic_chat_turn(endpoint: Endpoint, judge: Judge) -> None:
    ask(judge)
    _, path, _, sent = endpoint.requests[0]
    assert path == "/v1/chat/completions"
    assert sent["messages"] == [{"role": "user", "content": judge_prompt(question(0), OPEN)}]
    assert (sent["model"], sent["temperature"]) == ("some-judge", 0)
    assert sent["max_tokens"] <= 64 and not sent.get("stream")


def test_the_api_key_appears_only_in_the_authorization_header(
    endpoint: Endpoint, judge: Judge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    endpoint.script[1] = [replace(error(401), body=f'{{"message": "Incorrect key {KEY}"}}'.encode())]
    report = ask(judge, count=2)
    for _, path, headers, sent in endpoint.requests:
        assert headers.pop("authorization") == f"Bearer {KEY}"
        assert KEY not in f"{path}{headers}{sent}"
    assert "Incorrect key ***" in report.first_error
    assert KEY not in repr(judge) + repr(report) + caplog.text
    assert all(KEY.encode() not in path.read_bytes() for path in judge.cache.parent.iterdir())


@pytest.mark.parametrize(("given_key", "in_env", "sent"), [("", "from-env", "from-env"), ("", "", "none")])
def test_without_a_key_the_environment_variable_is_read_at_call_time(
    endpoint: Endpoint, judge: Judge, monkeypatch: pytest.MonkeyPatch, given_key: str, in_env: str, sent: str
) -> None:
    keyless = replace(judge, api_key=given_key)
    monkeypatch.setenv("OPENAI_API_KEY", in_env)
    ask(keyless)
    assert endpoint.requests[0][2]["authorization"] == f"Bearer {sent}"


@pytest.mark.parametrize("key", ["sk-ключ", "sk-two\nlines"])
def test_a_key_that_a_header_cannot_carry_is_rejected_without_printing_it(judge: Judge, key: str) -> None:
    with pytest.raises(ValueError, match="API key") as caught:
        ask(replace(judge, api_key=key))
    assert key not in str(caught.value)


def test_importing_the_judge_imports_no_client() -> None:
    program = (
        "import sys, lmms_eval_shotbench.grading.judge; "
        "assert not {'openai', 'tqdm', 'httpx', 'httpx2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_no_client_is_needed_without_requests(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    assert ask(judge, response="B") == JudgeReport({}, 0, 0, 0, 0, "")
    with pytest.raises(RuntimeError, match="pip install openai"):
        ask(judge)


def test_no_progress_is_written_where_stderr_is_no_terminal(
    endpoint: Endpoint, judge: Judge, capfd: pytest.CaptureFixture[str]
) -> None:
    ask(judge, count=3)
    assert capfd.readouterr() == ("", "")
