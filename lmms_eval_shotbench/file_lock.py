"""Exclusive locks on files, which the kernel releases when their process ends, however it ends.

A lock holds among the processes of one machine, and between machines where the network file system passes `flock` on.
Standard library only.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class LockingUnsupported(OSError):
    """The file system of a file refuses locks."""


def open_locked(path: Path, flags: int = 0) -> int:
    """Open a file to read and write, creating it and its folders as needed, and lock it without waiting.

    Args:
        flags: Flags of `os.open` in addition.

    Returns:
        A descriptor; closing it releases the lock.

    Raises:
        BlockingIOError: another process holds the lock.
        LockingUnsupported: the file system refuses locks.
        OSError: the file cannot be opened.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):  # the holder before may have removed the file between open and lock
                if os.path.samestat(os.fstat(handle), path.stat()):
                    return handle
        except BlockingIOError:
            os.close(handle)
            raise
        except OSError as error:
            os.close(handle)
            raise LockingUnsupported(error.errno, error.strerror) from error
        os.close(handle)
