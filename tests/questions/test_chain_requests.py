"""Chains from an endpoint that is busy, failing, slow or down, and resuming a killed run."""

from __future__ import annotations

import errno
import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from data_pipeline.questions import chain_requests
from data_pipeline.questions.chain_requests import (
    MAX_ATTEMPTS,
    ChainRequest,
    Endpoint,
    EndpointFailed,
    RateLimiter,
    receive_replies,
)
from data_pipeline.questions.chains import ChainReport, default_cache, write_chains
from data_pipeline.questions.reply_cache import ReplyCache
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.shards import ShardFolder
from tests.support import vision_server
from tests.support.judge_server import HANGS, HANGS_UP, Act, error, says
from tests.support.ports import refusing_port
from tests.support.vision_server import Vision, chain, question, small_shards

vision_endpoint = vision_server.vision_endpoint  # a fixture: pytest finds it by this name


def write(vision: Vision, shards: Path, out: Path, **changes: object) -> ChainReport:
    endpoint = replace(Endpoint(vision.url, "some-model", concurrency=4), **changes)  # type: ignore[arg-type]
    return write_chains(str(shards), "sft", out, endpoint)


def replies_in(out: Path) -> int:
    with ReplyCache(default_cache(out)) as cache:
        return len(cache)


def right(number: int) -> Act:
    item = question(number)
    return says(chain(item.answer, item.gold))


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not condition():
        assert process.poll() is None, "the process ended early"
        time.sleep(0.01)


@pytest.mark.parametrize("trouble", [error(429), error(500), error(503), HANGS_UP, Act(b"{"), says("")])
def test_a_transient_error_loses_no_item(vision_endpoint: Vision, tmp_path: Path, trouble: Act) -> None:
    vision_endpoint.script = {1: [trouble, trouble, right(1)]}
    report = write(vision_endpoint, small_shards(tmp_path / "in"), tmp_path / "out")
    assert (report.written, report.without_reply, vision_endpoint.asked(1)) == (5, 0, 3)


@pytest.mark.parametrize(("lasting", "asked"), [(error(500), MAX_ATTEMPTS), (error(400), 1)])
def test_a_lasting_error_loses_only_its_item(vision_endpoint: Vision, tmp_path: Path, lasting: Act, asked: int) -> None:
    vision_endpoint.script = {1: [lasting]}
    shards, out = small_shards(tmp_path / "in"), tmp_path / "out"
    report = write(vision_endpoint, shards, out)
    assert (report.written, report.without_reply, vision_endpoint.asked(1)) == (4, 1, asked)
    vision_endpoint.script = {}
    arguments = [
        "data",
        "chains",
        str(shards),
        "--out",
        str(out),
        "--base-url",
        vision_endpoint.url,
        "--model",
        "some-model",
    ]
    assert main(arguments) == 2  # the dataset would change: only --overwrite replaces it
    assert main([*arguments, "--overwrite"]) == 0
    assert [vision_endpoint.asked(number) for number in range(5)] == [1, asked + 1, 1, 1, 1]
    assert len(list(ShardFolder(out, "cot_sft").items())) == 5


def test_a_requested_pause_holds_all_threads(
    vision_endpoint: Vision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, held, since = RateLimiter.hold, threading.Event(), list[float]()

    def recorded_hold(limiter: RateLimiter, seconds: float) -> None:
        since.append(time.monotonic())
        hold(limiter, seconds)
        held.set()

    monkeypatch.setattr(RateLimiter, "hold", recorded_hold)
    in_flight = replace(right(1), wait_for=held.wait)
    vision_endpoint.script = {0: [error(429, Retry_After="0.6"), right(0)], 1: [in_flight]}
    write(vision_endpoint, small_shards(tmp_path / "in", 8), tmp_path / "out", concurrency=2)
    arrived = list(zip((index for index, *_ in vision_endpoint.requests), vision_endpoint.times, strict=True))
    arrived.remove(next(one for one in arrived if one[0] == 0))  # the request answered with 429
    late = [time for index, time in arrived if index != 1]
    assert len(since) == 1 and len(late) == 7 and min(late) >= since[0] + 0.6


def test_the_rate_limit_holds_by_the_servers_clock(vision_endpoint: Vision, tmp_path: Path) -> None:
    vision_endpoint.script = {2: [error(500), right(2)]}  # retries count, too
    begun = time.monotonic()
    write(vision_endpoint, small_shards(tmp_path / "in", 10), tmp_path / "out", concurrency=8, requests_per_minute=1200)
    assert len(vision_endpoint.times) == 11
    for before, arrived in enumerate(sorted(vision_endpoint.times)):  # transport may delay requests, never advance them
        assert arrived - begun >= before * 0.05


def test_as_many_requests_are_in_flight_as_concurrency_allows(vision_endpoint: Vision, tmp_path: Path) -> None:
    four_at_once = threading.Barrier(4).wait
    vision_endpoint.script = {number: [replace(right(number), wait_for=four_at_once)] for number in range(8)}
    assert write(vision_endpoint, small_shards(tmp_path / "in", 9), tmp_path / "out", concurrency=4).written == 9
    assert len(vision_endpoint.requests) == 9 and vision_endpoint.most_under_way == 4


def test_an_endpoint_that_is_down_is_reported_and_nothing_is_written(
    vision_endpoint: Vision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = small_shards(tmp_path / "in")
    arguments = ["data", "chains", str(shards), "--out", str(tmp_path / "out"), "--model", "m", "--base-url"]
    with refusing_port() as port:
        assert main([*arguments, f"http://127.0.0.1:{port}/v1"]) == 2
    assert f"http://127.0.0.1:{port}/v1 gave no reply at all: connection failed" in capsys.readouterr().err
    vision_endpoint.script = {number: [error(401)] for number in range(5)}
    assert main([*arguments, vision_endpoint.url]) == 2
    assert "HTTP 401" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.replies.jsonl"]


def test_an_outage_ends_the_run_and_earlier_replies_are_kept(
    vision_endpoint: Vision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_requests, "GIVE_UP_AFTER", 4)
    vision_endpoint.script = {number: [error(403)] for number in range(6, 30)}
    shards = small_shards(tmp_path / "in", 30)
    with pytest.raises(EndpointFailed, match="failed on 4 items in a row: HTTP 403"):
        write(vision_endpoint, shards, tmp_path / "out", concurrency=1)
    assert len(vision_endpoint.requests) < 6 + 4 + 3  # the run gave up at once
    assert not (tmp_path / "out").exists()
    assert replies_in(tmp_path / "out") == 6
    vision_endpoint.script, before = {}, len(vision_endpoint.requests)
    assert write(vision_endpoint, shards, tmp_path / "out").written == 30
    asked_again = [index for index, *_ in vision_endpoint.requests[before:]]
    assert set(asked_again) == set(range(6, 30))  # those with a reply are not asked again
    assert len(asked_again) <= 24 + 1  # the server may record the last request of the first run late


@pytest.mark.slow
def test_a_slow_endpoint_is_given_up_after_the_timeout(vision_endpoint: Vision, tmp_path: Path) -> None:
    vision_endpoint.script = {0: [HANGS, right(0)]}
    assert write(vision_endpoint, small_shards(tmp_path / "in", 3), tmp_path / "out", timeout_seconds=2).written == 3
    assert vision_endpoint.asked(0) >= 2


@pytest.mark.slow
@pytest.mark.parametrize(("stop_signal", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_killed_run_resumes_without_repeating_answered_requests(
    vision_endpoint: Vision, tmp_path: Path, stop_signal: signal.Signals, status: int
) -> None:
    shards, out = small_shards(tmp_path / "in", 12), tmp_path / "out"
    answered = 5
    vision_endpoint.script = {number: [HANGS, right(number)] for number in range(answered, 12)}
    command = [sys.executable, "-m", "lmms_eval_shotbench.cli", "data", "chains", str(shards), "--out", str(out)]
    command += ["--base-url", vision_endpoint.url, "--model", "some-model", "--concurrency", "2"]
    # Where pytest itself runs in the background, SIGINT is ignored, and its children would inherit that.
    run = subprocess.Popen(
        command, stderr=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )
    wait_until(lambda: len(vision_endpoint.requests) == answered + 2, run)
    wait_until(lambda: default_cache(out).read_bytes().count(b"\n") == answered, run)
    run.send_signal(stop_signal)
    assert run.wait() == status  # although two replies never arrive
    assert not out.exists()
    hung = {index for index, *_ in vision_endpoint.requests if index >= answered}
    vision_endpoint.script = {}
    assert subprocess.run(command, capture_output=True, check=True).stdout.startswith(str(out).encode())
    assert {number: vision_endpoint.asked(number) for number in range(12)} == {
        n: 2 if n in hung else 1 for n in range(12)
    }
    assert len(list(ShardFolder(out, "cot_sft").items())) == 12


def test_an_exception_in_a_worker_thread_that_is_not_about_one_medium_ends_the_run(vision_endpoint: Vision) -> None:
    def message() -> list[dict[str, object]]:
        raise OSError(errno.ENOSPC, "disk full")

    with pytest.raises(OSError, match="disk full"):
        list(
            receive_replies(
                Endpoint(vision_endpoint.url, "m"), [ChainRequest("a", message), ChainRequest("b", message)]
            )
        )


@pytest.mark.parametrize(
    "wrong",
    [{"base_url": "ftp://x"}, {"base_url": "http://u:p@x/v1"}, {"model": " "}, {"concurrency": 0}, {"max_tokens": 0},
     {"requests_per_minute": -1}, {"requests_per_minute": math.nan}, {"requests_per_minute": math.inf}],
)  # fmt: skip
def test_invalid_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"endpoint|concurrency"):
        replace(Endpoint("http://127.0.0.1:1/v1", "m"), **wrong)  # type: ignore[arg-type]
