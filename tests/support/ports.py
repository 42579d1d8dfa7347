"""Local ports for tests: one that refuses connections, and a free one for a server that cannot choose its own."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"
UNASSIGNED = (20_000, 32_000)  # Ray gives its workers 10002 to 19999, Linux ephemeral ports start at 32768


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses connections until the block ends: it is bound, but nothing listens."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield bound.getsockname()[1]


def free_port() -> int:
    """A free port for a server that cannot bind to port 0; outside the ranges from which processes are given one."""
    for port in random.SystemRandom().sample(range(*UNASSIGNED), 1000):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise RuntimeError("this machine has no free port")
