"""Atomic folders: one writer at a time, no partial results, leftovers of killed processes removed."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.questions.question_files import read_questions
from tests.support import REPOSITORY
from tests.support.shard_rows import ABOUT, rows

HOLD_THE_LOCK = """
import sys
from pathlib import Path
from data_pipeline.shards.folder_lock import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of `out`."""
    arguments = [sys.executable, "-c", HOLD_THE_LOCK, str(tmp_path / "out")]
    process = subprocess.Popen(arguments, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_writer_is_refused_and_the_first_is_named(
    tmp_path: Path, other_writer: subprocess.Popen[str]
) -> None:
    with pytest.raises(WriteRefused, match=f"process {other_writer.pid} on .* is writing to .*/out"):
        write_shards(rows(), tmp_path / "out", ABOUT, splits=["test"])
    assert write_shards(rows(), tmp_path / "beside", ABOUT, splits=["test"]).counts
    other_writer.kill()
    other_writer.wait()
    assert write_shards(rows(), tmp_path / "out", ABOUT, splits=["test"]).counts
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beside", "out"]


def test_the_second_writer_in_the_same_process_is_refused_as_well(tmp_path: Path) -> None:
    refusals: list[str] = []

    def write_again() -> None:
        try:
            write_shards(rows(), tmp_path / "out", ABOUT, splits=["test"])
        except WriteRefused as error:
            refusals.append(str(error))

    def rows_while_another_tries() -> Iterator[PendingRow]:
        yield from rows(2)
        second = threading.Thread(target=write_again)
        second.start()
        second.join()
        yield from rows(5)[2:]

    write_shards(rows_while_another_tries(), tmp_path / "out", ABOUT, splits=["test"])
    assert len(refusals) == 1 and f"process {os.getpid()}" in refusals[0]
    assert len(read_questions(tmp_path / "out")) == 5


def test_only_one_of_many_threads_holds_the_lock_at_a_time(tmp_path: Path) -> None:
    inside, most, done = 0, 0, 0
    counting = threading.Lock()

    def lock_repeatedly() -> None:
        nonlocal inside, most, done
        rounds_left = 25
        while rounds_left:
            try:
                with only_writer(tmp_path / "out"):
                    with counting:
                        inside, most, done = inside + 1, max(most, inside + 1), done + 1
                    with counting:
                        inside -= 1
                rounds_left -= 1
            except WriteRefused:
                pass

    threads = [threading.Thread(target=lock_repeatedly) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 and done == 8 * 25
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_its_holder_has_just_removed_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, flock = tmp_path / ".out.lock", fcntl.flock

    def removed_between_open_and_lock(handle: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        lock.unlink()
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", removed_between_open_and_lock)
    with only_writer(tmp_path / "out"):
        assert f"process {os.getpid()} on " in lock.read_text()
        with pytest.raises(WriteRefused):
            with only_writer(tmp_path / "out"):
                pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)  # no such file system can be mounted here
    with pytest.raises(WriteRefused, match=r"cannot lock files .* shotbench data push"):
        write_shards(rows(), tmp_path / "new/out", ABOUT, splits=["test"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteRefused, match=r"nothing can be written to .*/file/below \(Not a directory\)"):
        write_shards(rows(), tmp_path / "file/below/out", ABOUT, splits=["test"])


def test_shards_renamed_by_a_process_that_died_are_restored(tmp_path: Path) -> None:
    write_shards(rows(5), tmp_path / "out", ABOUT, splits=["test"])
    (tmp_path / "out").rename(tmp_path / ".out.replaced")
    assert write_shards(rows(5), tmp_path / "out", ABOUT, splits=["test"]).already_complete
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert len(read_questions(tmp_path / "out")) == 5


def test_replaced_shards_of_a_process_that_died_after_the_rename_are_removed(tmp_path: Path) -> None:
    write_shards(rows(3), tmp_path / "older", ABOUT, splits=["test"])
    write_shards(rows(5), tmp_path / "out", ABOUT, splits=["test"])
    (tmp_path / "older").rename(tmp_path / ".out.replaced")
    assert write_shards(rows(5), tmp_path / "out", ABOUT, splits=["test"]).already_complete
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert len(read_questions(tmp_path / "out")) == 5


def test_a_folder_created_in_the_meantime_is_not_replaced(tmp_path: Path) -> None:
    def rows_while_another_process_creates_the_folder() -> Iterator[PendingRow]:
        yield from rows(2)
        (tmp_path / "out").mkdir()
        (tmp_path / "out/theirs").write_text("first")

    with pytest.raises(WriteRefused, match="created in the meantime"):
        write_shards(rows_while_another_process_creates_the_folder(), tmp_path / "out", ABOUT, splits=["test"])
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "theirs"]
