"""Full disks: checked in advance if the size is known, otherwise reported with figures when a write fails.

Owns `DiskFull` and its messages. Existing files are preserved by `atomic_folder.py`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data_pipeline.medium_guard import DISK_FULL_ERRORS, RunEnds
from lmms_eval_shotbench.atomic_file import write_atomic

BLOCK = 4096  # minimum number of missing bytes to report


class DiskFull(RunEnds, RuntimeError):
    """Not enough disk space; the message says how much is missing."""


def require_disk_space(path: Path, needed: int) -> None:
    """Raise `DiskFull` if `needed` bytes do not fit on the disk of `path`."""
    free = free_bytes(path)
    if needed > free:
        raise DiskFull(
            f"{path} needs {readable_bytes(needed)}, {readable_bytes(free)} are free on its disk: "
            f"{readable_bytes(needed - free)} are missing. Free disk space or choose another path; nothing was written"
        )


@contextmanager
def disk_full_reported(
    path: Path, remaining: Callable[[], int] = int, discarded: Callable[[], int] = int
) -> Iterator[None]:
    """Turn an `OSError` of a full disk into a `DiskFull`.

    Args:
        remaining: Lower bound on the bytes still to be written, counting unfinished files from their start.
        discarded: Bytes on disk of the unfinished files; they will be removed, so they count as free.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL_ERRORS:
            raise
        free = free_bytes(path) + discarded()
        missing = max(remaining() - free, BLOCK)
        raise DiskFull(
            f"cannot write {path} ({os.strerror(error.errno)}): {readable_bytes(free)} are free on its disk, "
            f"at least {readable_bytes(missing)} are missing. Existing output is untouched and finished files are "
            "kept; free disk space and run the same command again to resume"
        ) from error


def write_output(path: Path, content: str) -> None:
    """Write a file named by the user, atomically; raises `DiskFull`."""
    with disk_full_reported(path):
        write_atomic(path, content)


def free_bytes(path: Path) -> int:
    """Free bytes on the disk of `path`, which need not exist yet."""
    return shutil.disk_usage(next(parent for parent in (path, *path.parents) if parent.exists())).free


def readable_bytes(count: int) -> str:
    """A number of bytes in human-readable form, e.g. 12.3 GB."""
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
