"""One writer to a folder: a lock beside it that the kernel lets go of when its process ends, however it ends.

Owns `.NAME.lock` and the folders above OUT that are made for it. It holds on one machine, and between machines where
the network file system passes `flock` on; where a file system refuses locks, that is said and nothing is written.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data_pipeline.shards.whole_folder import WriteRefused


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
    """The open lock file. It is looked up again after locking: the writer before may have removed it meanwhile."""
    while True:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise WriteRefused(
                f"nothing can be written to {out.parent} ({error.strerror}); choose another --out"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), path.stat()):
                    return handle
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode(errors="replace") or "another process"
            os.close(handle)
            raise WriteRefused(
                f"{holder} is writing to {out} at this moment; wait for it or end it, or choose another --out"
            ) from None
        except OSError as error:
            os.close(handle)
            path.unlink(missing_ok=True)
            raise WriteRefused(
                f"the file system of {out.parent} cannot lock files ({error.strerror}), so two writers could mix; "
                "write to a local disk and copy the shards from there: shotbench data push SHARDS TARGET"
            ) from error
        os.close(handle)
