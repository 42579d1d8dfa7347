"""Notice rollout servers that hang: `trainer.rollout_timeout_s`, in seconds.

verl waits without a limit for responses and for servers to take new weights. A server that crashed raises an error; one
that hangs (a deadlock, a lost GPU, a stalled network file system) would stop the run for good. With the timeout the run
ends with `RolloutHangs` if, for that long, no response was finished, or the servers did not take the weights. It
resumes by the same command, with `--attempts` by itself. The time that a reward takes counts as well.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

REPEAT_SECONDS = 10.0  # between interrupts, if code that waits ignores the first one
NEXT_STEP = (
    "A rollout server hangs, or trainer.rollout_timeout_s is too low. The same command resumes from the last checkpoint"
)


class RolloutHangs(RuntimeError):
    """The rollout servers made no progress for too long."""


class ProgressWatch:
    """Raises `RolloutHangs` if what it observes does not change for `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Forget what was observed."""
        self._seen: Hashable = None
        self._since = time.monotonic()

    def observe(self, progress: Hashable, waiting_for: str) -> None:
        """Compare `progress` with what was observed before; `waiting_for` is for the message."""
        if progress != self._seen:
            self._seen, self._since = progress, time.monotonic()
        elif time.monotonic() - self._since > self._seconds:
            raise RolloutHangs(f"no response was finished for {self._seconds:,g} s: {waiting_for}. {NEXT_STEP}")


def watch_rollouts(buffer: Any, seconds: float) -> None:
    """Let verl's replay buffer raise `RolloutHangs` if no response is finished for `seconds` while it waits."""
    progress = ProgressWatch(seconds)
    sample, wait = buffer.sample, buffer._wait_for_next_poll

    def watched_sample(*arguments: Any, **named: Any) -> Any:
        progress.restart()
        return sample(*arguments, **named)

    def watched_wait(partition_id: str, last_debug_time: float) -> float:
        responses, running = len(buffer.partitions[partition_id]), len(buffer.running_keys[partition_id])
        ended = len(buffer.finished_keys[partition_id]) + len(buffer.failure_keys[partition_id])
        progress.observe((responses, running, ended), f"{running} prompts are running, {ended} are finished")
        return float(wait(partition_id, last_debug_time))

    buffer.sample, buffer._wait_for_next_poll = watched_sample, watched_wait


@contextmanager
def time_limit(seconds: float | None, waiting_for: str) -> Iterator[None]:
    """Raise `RolloutHangs` if the body takes longer; it may be waiting for Ray.

    Args:
        seconds: The limit, or None for no limit.
        waiting_for: What the body waits for, for the message.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():  # only it receives signals
        yield
        return
    expired = False
    message = f"{waiting_for} took longer than {seconds:,g} s. {NEXT_STEP}"

    def expire(*_: object) -> None:
        nonlocal expired
        expired = True
        raise KeyboardInterrupt  # the only exception of a signal handler that interrupts `ray.get`; others are ignored

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_SECONDS)
    try:
        yield
    except BaseException:
        if expired:
            raise RolloutHangs(message) from None
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
