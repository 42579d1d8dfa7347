"""The time that a response took: the definitions of `seconds` and `wall_seconds` for every backend.

`seconds` is model time: at each moment, it is divided equally among the requests that the model is answering. A request
that is answered alone gets all of its time, a request of a batch an equal share of the batch's, as all rows of a padded
batch are computed for the same number of steps; of requests that overlap (a server's, or a continuous batch's), each
gets 1/n of the time during which n are open. So the seconds of all responses add up to the time in which the model was
busy, whatever the number of requests at once; the shares of failed requests belong to no response. `shotvl` decodes
media ahead in threads, which is not model time; the models of lmms-eval decode within it.

`wall_seconds` is the time from the start of the run, or from the last stored responses, until these were stored,
divided equally among them; on several ranks, this is also divided by their number. The sum over all responses is the
wall time up to the last of them, loading and media included, of the run and of the interrupted runs that it resumed; a
run that only reads stored responses adds nothing. With several ranks it is the mean of the ranks.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Share:
    """Seconds of each request of a group, set when all of them are answered."""

    seconds: float = 0.0


class SharedTime:
    """Divides time equally among the requests that are open at each moment. Thread-safe.

    The time of a single open request advances by dt / n while n are open, so the share of a request is how far it
    advances between its start and its end.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._open, self._last, self._advanced = 0, clock(), 0.0

    def start(self, requests: int = 1) -> float:
        """Open requests; returns the mark to pass to `end`."""
        with self._lock:
            self._advance()
            self._open += requests
            return self._advanced

    def end(self, mark: float, requests: int = 1) -> float:
        """Close requests that were opened with this mark; returns the seconds of each of them."""
        with self._lock:
            self._advance()
            self._open -= requests
            return self._advanced - mark

    @contextmanager
    def measured(self, requests: int = 1) -> Iterator[Share]:
        """Keep requests open during the block; their seconds are set at its end."""
        share, mark = Share(), self.start(requests)
        try:
            yield share
        finally:
            share.seconds = self.end(mark, requests)

    def _advance(self) -> None:
        now = self._clock()
        if self._open:
            self._advanced += (now - self._last) / self._open
        self._last = now


class WallClock:
    """Wall time of this process since the last stored responses."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._last = clock, clock()

    def restart(self) -> None:
        """Start a run now."""
        self._last = self._clock()

    def share(self, responses: int) -> float:
        """Return the share of each of these responses, which are stored now, in the run's wall time in seconds."""
        last, self._last = self._last, self._clock()
        return (self._last - last) / (responses * int(os.environ.get("WORLD_SIZE", 1)))


WALL = WallClock()  # of the run in this process
