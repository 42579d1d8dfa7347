"""The request to stop a run: created by a signal, discarded by the next attempt. Trainers that obey: tests/run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from verl_recipes.inside_verl.stop_request import STOP_SIGNAL, StopRequest


def test_a_signal_creates_the_request_and_the_handler_is_restored(tmp_path: Path) -> None:
    request, before = StopRequest(tmp_path), signal.getsignal(STOP_SIGNAL)
    with request.created_by_signal():
        assert not request.exists()
        os.kill(os.getpid(), STOP_SIGNAL)
        assert request.exists()
        assert request.stopped_step() is None
    assert signal.getsignal(STOP_SIGNAL) == before
    assert not request.exists()


def test_a_request_that_an_earlier_attempt_left_has_no_effect(tmp_path: Path) -> None:
    StopRequest(tmp_path).record_stop(7)
    with StopRequest(tmp_path).created_by_signal():
        assert StopRequest(tmp_path).stopped_step() is None
        StopRequest(tmp_path).record_stop(9)
        assert StopRequest(tmp_path).stopped_step() == 9
