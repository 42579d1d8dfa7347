"""Write a file whole or not at all, also where other processes write the same one. Standard library only."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write to a draft beside `path` and rename it; on any error the draft is removed and `path` is as it was."""
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
