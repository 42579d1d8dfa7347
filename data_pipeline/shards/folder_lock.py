"""One writer to a folder: a lock beside it that the kernel lets go of when its process ends, however it ends.

Owns `.NAME.lock` and the folders above OUT that are made for it. What a lock holds
against is in `lmms_eval_shotbench/file_lock.py`; where a file system refuses locks, nothing is written.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data_pipeline.shards.whole_folder import WriteRefused
from lmms_eval_shotbench.file_lock import LockingUnsupported, open_locked


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Hold the lock of `out`; raises `WriteRefused` where another process holds it, or the disk cannot lock."""
    created = [parent for parent in out.parents if not parent.exists()]  # nearest first
    path = out.with_name(f".{out.name}.lock")
    try:
        handle = _locked(path, out)
        try:
            with suppress(OSError):  # a full disk: then the refusal of others names no process
                os.truncate(handle, 0)
                os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(handle)
    finally:
        with suppress(OSError):
            for parent in created:
                parent.rmdir()  # only where nothing has come to lie in it


def _locked(path: Path, out: Path) -> int:
    """The open lock file."""
    try:
        return open_locked(path)
    except BlockingIOError:
        holder = "another process"
        with suppress(OSError):  # the holder may have ended and removed the file meanwhile
            holder = path.read_text(errors="replace") or holder
        raise WriteRefused(
            f"{holder} is writing to {out} at this moment; wait for it or end it, or choose another --out"
        ) from None
    except LockingUnsupported as error:
        path.unlink(missing_ok=True)
        raise WriteRefused(
            f"the file system of {out.parent} cannot lock files ({error.strerror}), so two writers could mix; "
            "write to a local disk and copy the shards from there: shotbench data push SHARDS TARGET"
        ) from error
    except OSError as error:
        raise WriteRefused(
            f"nothing can be written to {out.parent} ({error.strerror}); choose another --out"
        ) from error
