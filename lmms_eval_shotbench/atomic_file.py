"""Atomic writes: a file or a folder is complete or not there, also where other processes write the same one.

A draft beside the path is renamed to it once it is complete. A process that is killed leaves a hidden draft `.NAME.…`
at most, which nothing reads. Data are not flushed to the disk: a machine that loses power may lose them.
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
    """A path where no file can be written; the message says what stands in the way, and what to do."""


def require_writable(path: Path) -> None:
    """Raise `NotWritable` where no file can be written at `path`; so that a command says so before its work."""
    if path.is_dir():
        raise NotWritable(f"{path} is a folder; name a file, such as {path / 'FILE'}")
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise NotWritable(f"{path} cannot be written: {above} is no folder that you may write to; name another file")


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file of mode 0644, creating folders as needed; on any error `path` is as it was.

    Raises:
        NotWritable: no file can be written there.
    """
    require_writable(path)
    with atomic_path(path) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        draft.chmod(0o644)  # whatever the umask: a team shares results and caches


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a draft path beside `path` at which a file or a folder can be created; rename it to `path` at the end.

    On any error the draft is removed and `path` is as it was. A file replaces a file. A folder replaces an empty folder
    only: where another one came first, the rename raises `OSError`. The draft has another suffix than `path`, so that
    no search by suffix finds it: writers that choose a format by suffix must be given the format.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield draft
        os.replace(draft, path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True) if draft.is_dir() else draft.unlink(missing_ok=True)
        raise
