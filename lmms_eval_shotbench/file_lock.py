"""Exclusive file locks, which the kernel releases when the process exits, even if it is killed.

A lock is valid between processes of one machine, and between machines if the network file system supports `flock`.
Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WAIT_SECONDS = 0.2  # between two attempts to get a lock


class LockingUnsupported(OSError):
    """The file system does not support locks."""


def open_locked(path: Path, flags: int = 0) -> int:
    """Open a file for reading and writing, creating it and its parent folders, and lock it without blocking.

    Args:
        flags: Additional flags of `os.open`.

    Returns:
        The file descriptor; closing it releases the lock.

    Raises:
        BlockingIOError: another process holds the lock.
        LockingUnsupported: the file system does not support locks.
        OSError: the file cannot be opened.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):  # the last holder may have deleted the file between open and lock
                if os.path.samestat(os.fstat(handle), path.stat()):
                    return handle
        except BlockingIOError:
            os.close(handle)
            raise
        except OSError as error:
            os.close(handle)
            raise LockingUnsupported(error.errno, error.strerror) from error
        os.close(handle)


@contextmanager
def held_lock(path: Path) -> Iterator[None]:
    """Hold a lock while the block runs, after waiting for a process that holds it.

    Where the file system does not support locks, the block runs without one.
    """
    handle = None
    with suppress(LockingUnsupported):
        while handle is None:
            try:
                handle = open_locked(path)
            except BlockingIOError:
                time.sleep(WAIT_SECONDS)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)
