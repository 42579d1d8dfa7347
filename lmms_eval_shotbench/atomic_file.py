"""Write a file whole or not at all, also where other processes write the same one. Standard library only."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


class NoPlace(ValueError):
    """A path where no file can be written; the message says what stands in the way, and what to do."""


def require_place(path: Path) -> None:
    """Raise `NoPlace` where no file can be written at `path`; so that a command says so before its work."""
    if path.is_dir():
        raise NoPlace(f"{path} is a folder; name a file, such as {path / 'FILE'}")
    above = next(place for place in path.absolute().parents if place.exists())
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise NoPlace(f"{path} cannot be written: {above} is no folder that you may write to; name another file")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write to a draft beside `path` and rename it; on any error the draft is removed and `path` is as it was."""
    require_place(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
        os.chmod(name, 0o644)  # mkstemp's 0600 would surprise a team that shares results
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
