"""Exclusive locks: one holder at a time, released when the descriptor is closed or the process exits."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lmms_eval_shotbench import file_lock
from lmms_eval_shotbench.file_lock import LockingUnsupported, held_lock, open_locked
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


def test_a_lock_is_released_when_its_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError):
            open_locked(path)
        holder.kill()
        holder.wait()
    os.close(open_locked(path))


def test_a_lock_that_is_held_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, handles = tmp_path / ".lock", list[int]()
    handles.append(open_locked(path))
    monkeypatch.setattr(file_lock.time, "sleep", lambda _: os.close(handles.pop()))
    with held_lock(path):
        assert not handles
        with pytest.raises(BlockingIOError):
            open_locked(path)
    os.close(open_locked(path))


def test_locking_keeps_the_content_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_text("first\n")
    handle = open_locked(path, os.O_APPEND)
    os.write(handle, b"second\n")
    os.close(handle)
    assert path.read_text() == "first\nsecond\n"


def test_unsupported_locks_and_files_that_cannot_be_opened_raise_different_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(IsADirectoryError):
        open_locked(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)  # a file system without locks cannot be mounted in a test
    with pytest.raises(LockingUnsupported, match="No locks available"):
        open_locked(tmp_path / ".lock")
    with held_lock(tmp_path / ".lock"):
        pass
