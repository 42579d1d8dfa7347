"""A cache for one test run: what takes long to make is made by one of its processes, once.

It is never shared by two runs, so nothing in it comes from older code. `make test` names its folder in
SHOTBENCH_TEST_RUN and removes it; otherwise it lies in pytest's own temporary folder.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

RUN_VARIABLE = "SHOTBENCH_TEST_RUN"


def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all processes of this test run share, and no other run."""
    own = tmp_path_factory.getbasetemp()
    beside = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own  # xdist: each worker's is within the run's
    return Path(os.environ.get(RUN_VARIABLE) or beside)


def made_once(name: str, make: Callable[[Path], object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private copy of a folder that `make` fills in the first process that asks for it.

    The lock of a maker that is killed is released; its unfinished draft is removed by the next one.
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
