"""Local ports for tests: one that refuses connections, and a free one for a server that cannot choose its own."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"
BELOW_EPHEMERAL = (10_000, 30_000)  # Linux assigns ephemeral ports from 32768 on


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses connections until the block ends: it is bound, but nothing listens."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield bound.getsockname()[1]


def free_port() -> int:
    """A free port for a server that cannot bind to port 0; outside the ephemeral range, so no other process gets it."""
    for port in random.SystemRandom().sample(range(*BELOW_EPHEMERAL), 1000):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise RuntimeError("this machine has no free port")
