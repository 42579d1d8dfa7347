"""A rollout without progress ends with an error, one with progress does not."""

from __future__ import annotations

import signal
import threading
import warnings
from collections import defaultdict
from typing import Any

import pytest

from verl_recipes.inside_verl import engine_warnings, rollout_watch
from verl_recipes.inside_verl.rollout_watch import ProgressWatch, RolloutHangs, time_limit, watch_rollouts


class Clock:
    """Seconds that pass only when a test lets them."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rollout_watch, "time", clock)
    return clock


def test_only_a_pause_longer_than_the_limit_is_an_error(clock: Clock) -> None:
    progress = ProgressWatch(10)
    for count in range(5):
        progress.observe(count, "responses")
        clock.now += 10
    progress.observe(4, "responses")
    clock.now += 1
    with pytest.raises(RolloutHangs, match=r"no response was finished for 10 s: responses\. .*resumes"):
        progress.observe(4, "responses")
    progress.restart()
    progress.observe(4, "responses")


class Buffer:
    """verl's replay buffer, as far as it is watched: it waits until there are enough responses."""

    def __init__(self, clock: Clock, arrivals: dict[int, int]) -> None:
        self.partitions: Any = defaultdict(dict)
        self.running_keys: Any = defaultdict(set, train={"a", "b"})
        self.finished_keys: Any = defaultdict(set)
        self.failure_keys: Any = defaultdict(set)
        self._clock, self._arrivals = clock, arrivals  # number of responses by second

    def _wait_for_next_poll(self, partition_id: str, last_debug_time: float) -> float:
        self._clock.now += 1
        for number in range(self._arrivals.get(int(self._clock.now), 0)):
            self.partitions[partition_id][f"{self._clock.now} {number}"] = {}
        return last_debug_time

    def sample(self, requested: int) -> int:
        while len(self.partitions["train"]) < requested:
            self._wait_for_next_poll("train", 0.0)
        return requested


@pytest.mark.verl
def test_verls_buffer_has_what_is_watched() -> None:
    pytest.importorskip("verl")
    from inspect import getsource

    from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

    source = getsource(ReplayBuffer)
    for name in ("self.partitions", "self.running_keys", "self.finished_keys", "self.failure_keys"):
        assert f"{name}:" in source
    assert "last_debug_time = self._wait_for_next_poll(partition_id, last_debug_time)" in getsource(ReplayBuffer.sample)


def test_slow_responses_are_waited_for_and_missing_ones_are_not(clock: Clock) -> None:
    slow = Buffer(clock, {9: 1, 18: 1, 27: 2})
    watch_rollouts(slow, 10)
    assert slow.sample(4) == 4
    clock.now += 1000  # the update of the weights
    with pytest.raises(RolloutHangs, match="no response was finished for 10 s: 2 prompts are running, 0 are finished"):
        slow.sample(5)
    assert clock.now == 27 + 1000 + 11


def test_what_takes_too_long_is_interrupted() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with (
        pytest.raises(RolloutHangs, match=r"sending the weights took longer than 0\.1 s"),
        time_limit(0.1, "sending the weights"),
    ):
        threading.Event().wait(100)
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    for limit in (None, 100):
        with pytest.raises(ValueError, match="its own"), time_limit(limit, "nothing"):
            raise ValueError("its own")


def test_only_engines_that_are_not_installed_are_silent() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        engine_warnings.silence()
        for error in (ModuleNotFoundError("No module named 'veomni'"), ImportError("libcudart.so: no such file")):
            warnings.warn(f"veomni engine is not available: {error!r}", stacklevel=1)
    assert [str(warning.message) for warning in caught] == [
        "veomni engine is not available: ImportError('libcudart.so: no such file')"
    ]
