"""fsspec's storage in memory, at memory://, which all tests of a process share."""

from __future__ import annotations

import fsspec


def empty_memory() -> None:
    """Remove all files and folders."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
