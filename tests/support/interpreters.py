"""The Pythons on which the package is claimed to run, and which of them are installed here.

`python -m tests.support.interpreters` prints version and path of each one found.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support import REPOSITORY

CLAIMED = re.findall(r"Python :: (3\.\d+)$", (REPOSITORY / "setup.cfg").read_text(encoding="utf-8"), re.MULTILINE)


def find_interpreter(version: str) -> Path | None:
    """Return a Python of this version that starts, from the search path or from pyenv."""
    return next((path for path in _candidates(version) if _starts(path)), None)


def _candidates(version: str) -> Iterator[Path]:
    if on_path := shutil.which(f"python{version}"):
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"))


def _starts(python: Path) -> bool:
    # pyenv puts a file for every version on the search path, which fails unless that version is selected.
    return subprocess.run([python, "-c", ""], stderr=subprocess.DEVNULL).returncode == 0


if __name__ == "__main__":
    for claimed in CLAIMED:
        if found := find_interpreter(claimed):
            print(claimed, found)  # noqa: T201
