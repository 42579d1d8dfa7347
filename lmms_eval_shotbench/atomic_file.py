"""Atomic writes: a file or folder is either complete or absent, even with several concurrent writers.

A draft next to the path is renamed to it once it is complete. A killed process leaves at most a hidden draft `.NAME.…`,
which is never read. Writes are not followed by `fsync`: a power failure may lose them.
Standard library only.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NotWritable(ValueError):
    """No file can be written at a path; the message gives the reason and what to do."""


def require_writable(path: Path) -> None:
    """Raise `NotWritable` if no file can be written at `path`, so that a command fails before its work."""
    if path.is_dir():
        raise NotWritable(f"{path} is a folder; name a file, such as {path / 'FILE'}")
    existing = next(parent for parent in path.absolute().parents if parent.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise NotWritable(f"{path} cannot be written: {existing} is no folder that you may write to; name another file")


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file with mode 0644, creating parent folders; on any error `path` is unchanged.

    Raises:
        NotWritable: no file can be written at `path`.
    """
    require_writable(path)
    with atomic_path(path) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        draft.chmod(0o644)  # regardless of the umask: results and caches are shared


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a draft path next to `path` for a new file or folder; rename it to `path` on exit.

    On any error the draft is removed and `path` is unchanged. A file replaces an existing file. A folder replaces only
    an empty folder; otherwise the rename raises `OSError`. The draft's suffix differs from that of `path`, so that no
    search by suffix finds it: writers that infer the format from the suffix must be given the format.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield draft
        os.replace(draft, path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True) if draft.is_dir() else draft.unlink(missing_ok=True)
        raise
