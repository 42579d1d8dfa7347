"""A disk without room: known beforehand where the size is, told with figures where it is not.

Owns `DiskFull` and what it says. Keeping what was there is the affair of `whole_folder.py`.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lmms_eval_shotbench.atomic_file import write_atomic

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
BLOCK = 4096  # the least that can be missing


class DiskFull(RuntimeError):
    """Something does not fit on its disk; the message says how much is missing."""


def require_room(place: Path, needed: int) -> None:
    """Raise `DiskFull` if `needed` bytes do not fit on the disk of `place`."""
    free = free_bytes(place)
    if needed > free:
        raise DiskFull(
            f"{place} needs {byte_count(needed)}, {byte_count(free)} are free on its disk: "
            f"{byte_count(needed - free)} are missing. Make room or choose another place; nothing was written"
        )


@contextmanager
def disk_full_reported(
    place: Path, to_write: Callable[[], int] = int, given_up: Callable[[], int] = int
) -> Iterator[None]:
    """Turn a failed write into a `DiskFull`.

    Args:
        to_write: Bytes that are still to be written, at least, beginning with the files that are unfinished.
        given_up: Bytes that those files take up already; they are removed, and so count as free.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        free = free_bytes(place) + given_up()
        missing = max(to_write() - free, BLOCK)
        raise DiskFull(
            f"no room for {place} ({os.strerror(error.errno)}): {byte_count(free)} are free on its disk, at least "
            f"{byte_count(missing)} are missing. What was there before is untouched, and files that were finished are "
            "kept; make room and run the same command again to go on"
        ) from error


def write_output(path: Path, content: str) -> None:
    """Write a file that the user named, whole; raises `DiskFull`."""
    with disk_full_reported(path):
        write_atomic(path, content)


def free_bytes(place: Path) -> int:
    """Room on the disk on which `place` lies or would lie."""
    return shutil.disk_usage(next(path for path in (place, *place.parents) if path.exists())).free


def byte_count(count: int) -> str:
    """A number of bytes as people read it: 12.3 GB."""
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
