"""A lock file beside a folder, so that only one process writes to it; the kernel releases it when the process ends.

Owns `.NAME.lock` and the parent folders of OUT created for it. Locking itself is in `lmms_eval_shotbench/file_lock.py`;
if the file system does not support locks, nothing is written.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data_pipeline.shards.atomic_folder import WriteRefused
from lmms_eval_shotbench.file_lock import LockingUnsupported, open_locked


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Hold the lock of `out`; raises `WriteRefused` if another process holds it or the file system has no locks."""
    folder = Path(os.path.normpath(out.absolute()))  # `.` has no name
    created = [parent for parent in folder.parents if not parent.exists()]  # nearest first
    path = folder.with_name(f".{folder.name}.lock")
    try:
        handle = _locked(path, out)
        try:
            with suppress(OSError):  # on a full disk, the lock is held without naming its process
                os.truncate(handle, 0)
                os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(handle)
    finally:
        with suppress(OSError):
            for parent in created:
                parent.rmdir()  # fails, as intended, if it is not empty


def _locked(path: Path, out: Path) -> int:
    """Open and lock the lock file; returns its file descriptor."""
    try:
        return open_locked(path)
    except BlockingIOError:
        holder = "another process"
        with suppress(OSError):  # the holder may have ended and removed the file in the meantime
            holder = path.read_text(errors="replace") or holder
        raise WriteRefused(
            f"{holder} is writing to {out}; wait until it ends, stop it, or choose another folder"
        ) from None
    except LockingUnsupported as error:
        path.unlink(missing_ok=True)
        raise WriteRefused(
            f"the file system of {out.parent} cannot lock files ({error.strerror}), so concurrent writers would "
            "conflict; write to a local disk and copy the result from there (shards: shotbench data push SHARDS TARGET)"
        ) from error
    except OSError as error:
        raise WriteRefused(
            f"nothing can be written to {path.parent} ({error.strerror}); choose another folder"
        ) from error
