"""Exclusive locks: one holder, released with the descriptor or with the process."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lmms_eval_shotbench.file_lock import LockingUnsupported, open_locked
from tests.support import REPOSITORY

HOLD = (
    "import sys, time; from pathlib import Path\n"
    "from lmms_eval_shotbench.file_lock import open_locked\n"
    "open_locked(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
)


def test_a_lock_is_released_when_its_descriptor_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "new/.lock"
    handle = open_locked(path)
    with pytest.raises(BlockingIOError):
        open_locked(path)
    os.close(handle)
    os.close(open_locked(path))


def test_a_lock_ends_with_its_process_even_if_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError):
            open_locked(path)
        holder.kill()
        holder.wait()
    os.close(open_locked(path))


def test_what_is_in_a_locked_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_text("first\n")
    handle = open_locked(path, os.O_APPEND)
    os.write(handle, b"second\n")
    os.close(handle)
    assert path.read_text() == "first\nsecond\n"


def test_a_file_system_that_refuses_locks_is_told_from_a_file_that_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(IsADirectoryError):
        open_locked(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)  # no such file system can be mounted here
    with pytest.raises(LockingUnsupported, match="No locks available"):
        open_locked(tmp_path / ".lock")
