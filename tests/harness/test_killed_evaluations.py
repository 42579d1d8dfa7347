"""Evaluations by any backend that end early: killed, or interrupted by Ctrl-C, and continued by the same command."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.host, pytest.mark.timeout(900)]
pytest.importorskip("lmms_eval")
pytest.importorskip("torch")
pytest.importorskip("openai")

from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE
from tests.harness.test_lmms_eval import isolated_caches, read_scores  # noqa: F401
from tests.support.killed_evaluations import (
    CONCURRENT,
    IN_PROCESS,
    SERVED,
    Trial,
    killed_run,
    stored_keys,
    trial,
)
from tests.support.openai_server import ANSWER, HANG, Request

NUMBERS = {SHOT_SIZE.slug: 14, CAMERA_MOVEMENT.slug: 2}


@pytest.fixture(scope="module", autouse=True)
def own_environment(isolated_caches: Any) -> Any:  # noqa: F811
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.delenv("SHOTBENCH_RESPONSES", raising=False)
        yield


# One recorder stores the responses of all backends: one that runs in the process and one that asks a server suffice.
@pytest.mark.parametrize(
    ("backend", "batch_size"),
    [
        ("qwen2_5_vl", 3),
        ("async_openai", 1),
        pytest.param("vllm", 3, marks=pytest.mark.repeat),
        *(pytest.param(backend, 1, marks=pytest.mark.repeat) for backend in (*IN_PROCESS, "openai")),
    ],
)
def test_a_run_killed_twice_asks_again_what_was_in_flight_only_and_ends_like_an_undisturbed_one(
    backend: str, batch_size: int, tmp_path: Path
) -> None:
    with trial(backend, tmp_path, NUMBERS, batch_size) as one:
        outcome = killed_run(one, 2, random.Random(backend))
    assert outcome.status == 0 and outcome.samples_equal
    assert outcome.stored_twice == 0 and outcome.asked_twice == sum(outcome.in_flight)
    assert max(outcome.in_flight) <= (CONCURRENT if backend in SERVED else batch_size)


def hang_after(answers: int) -> Callable[[Request], int]:
    """A script: some answers, then nothing."""
    left = iter(range(answers))
    return lambda _: HANG if next(left, None) is None else ANSWER


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


def check_interruption(one: Trial, out: Path, status: int | None, printed: str) -> None:
    """Check status and message, and that the same command continues."""
    assert status == 130, printed[-3000:]
    kept = f"the responses so far are in {out}/responses, and the same command continues from there"
    said = [line for line in printed.splitlines() if line.startswith("shotbench:")]
    assert said == [f"shotbench: interrupted; {kept}"], printed[-3000:]
    assert "Traceback" not in printed and "never retrieved" not in printed
    stored, asked = len(stored_keys(out)), len(one.asked())
    assert stored and not (out / "samples.jsonl").exists()
    assert one.run(out) == 0, one.log.read_text()[-3000:]
    assert len(one.asked()) - asked == sum(NUMBERS.values()) - stored
    assert read_scores(out)["unanswered"] == []


@pytest.mark.parametrize("backend", SERVED)
def test_ctrl_c_while_a_server_hangs_ends_the_command_with_one_line_and_it_continues(
    backend: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with trial(backend, tmp_path, NUMBERS) as one:
        assert one.endpoint
        one.endpoint.script = hang_after(3)
        process = one.start(out)
        wait_for(lambda: process.exitcode is not None or len(stored_keys(out)) == 3)
        assert process.pid
        os.kill(process.pid, signal.SIGINT)
        process.join()
        one.endpoint.script = [ANSWER]
        check_interruption(one, out, process.exitcode, one.log.read_text())


@pytest.mark.parametrize(
    "backend", ["qwen2_5_vl", *(pytest.param(name, marks=pytest.mark.repeat) for name in ("qwen3_vl", "vllm"))]
)
def test_ctrl_c_during_generation_ends_the_command_with_one_line_and_it_continues(backend: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with trial(backend, tmp_path, NUMBERS) as one:
        process = one.start(out)
        wait_for(lambda: process.exitcode is not None or len(stored_keys(out)) > 1)
        assert process.pid
        os.kill(process.pid, signal.SIGINT)
        process.join()
        check_interruption(one, out, process.exitcode, one.log.read_text())


def encode_slowly(encoded: Path) -> None:
    """Make the encoding of media take long, and count it."""
    from lmms_eval.protocol import ChatMessages

    encode = ChatMessages.to_openai_messages

    def slow(self: Any, *arguments: Any, **settings: Any) -> Any:
        with encoded.open("a") as stream:
            stream.write("one\n")
        time.sleep(0.3)
        return encode(self, *arguments, **settings)

    ChatMessages.to_openai_messages = slow


def test_ctrl_c_does_not_wait_until_the_media_of_all_concurrent_requests_are_encoded(tmp_path: Path) -> None:
    encoded = tmp_path / "encoded"
    with trial("async_openai", tmp_path, NUMBERS) as one:
        slow = replace(one, kill=partial(encode_slowly, encoded), arguments=f"{one.arguments},num_cpus=14")
        process = slow.start(tmp_path / "out")
        wait_for(lambda: process.exitcode is not None or encoded.exists())
        assert process.pid
        os.kill(process.pid, signal.SIGINT)
        process.join()
    printed = one.log.read_text()
    assert process.exitcode == 130 and "Traceback" not in printed and "never retrieved" not in printed
    assert "interrupted; no response had come yet; the same command starts over" in printed
    assert len(encoded.read_text().splitlines()) < 7, "half of them at most; by default, all"
