"""A cache for one test run: expensive fixtures are created once, by one of its processes.

It is never shared between runs, so nothing in it comes from older code. `make test` sets its folder in
SHOTBENCH_TEST_RUN and removes it; otherwise it is in pytest's own temporary folder.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

RUN_VARIABLE = "SHOTBENCH_TEST_RUN"


def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder shared by all processes of this test run only."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own  # xdist: a worker's folder is in the run's
    return Path(os.environ.get(RUN_VARIABLE) or shared)


def made_once(name: str, make: Callable[[Path], object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private copy of a folder that `make` fills in the first process that requests it.

    If that process is killed, its lock is released and its unfinished draft is removed by the next one.
    """
    from filelock import FileLock

    run = run_folder(tmp_path_factory)
    finished, draft = run / name, run / f"{name}.draft"
    with FileLock(run / f"{name}.lock"):
        if not finished.exists():
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            make(draft)
            draft.rename(finished)
    return shutil.copytree(finished, tmp_path_factory.mktemp(name) / name)
