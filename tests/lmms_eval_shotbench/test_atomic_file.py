"""Atomic writes: a reader always finds either the old or the new content, however the writer is interrupted."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lmms_eval_shotbench.atomic_file import NotWritable, atomic_path, write_atomic
from tests.support import REPOSITORY


def test_a_written_file_is_readable_by_others_regardless_of_the_umask(tmp_path: Path) -> None:
    old_umask = os.umask(0o077)
    try:
        write_atomic(tmp_path / "new/folder/scores.json", "ä")
        write_atomic(tmp_path / "new/folder/scores.json", b"second")
    finally:
        os.umask(old_umask)
    assert (tmp_path / "new/folder/scores.json").read_bytes() == b"second"
    assert stat.S_IMODE((tmp_path / "new/folder/scores.json").stat().st_mode) == 0o644
    assert [path.name for path in (tmp_path / "new/folder").iterdir()] == ["scores.json"]


def test_a_file_does_not_replace_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotWritable, match=r"folder is a folder; name a file, such as .*/folder/FILE"):
        write_atomic(tmp_path / "folder", "content")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_error_while_writing_leaves_the_old_content(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "kept.txt"
    target.write_text("old")
    with pytest.raises(type(error)), atomic_path(target) as draft:
        draft.write_text("half")
        raise error
    with pytest.raises(type(error)), atomic_path(tmp_path / "folder") as draft:
        draft.mkdir()
        (draft / "part").write_text("half")
        raise error
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_a_draft_is_not_found_by_the_suffix_of_its_target(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "task.yaml") as draft:
        draft.write_text("task: one")
        assert not list(tmp_path.rglob("*.yaml"))
    assert [path.name for path in tmp_path.rglob("*.yaml")] == ["task.yaml"]


def test_a_folder_replaces_only_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with atomic_path(tmp_path / "model") as draft:
        draft.mkdir()
        (draft / "config.json").write_text("first")
    with pytest.raises(OSError, match="not empty"), atomic_path(tmp_path / "model") as draft:
        draft.mkdir()
        (draft / "config.json").write_text("second")
    assert (tmp_path / "model/config.json").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_writer_that_is_killed_while_writing_leaves_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "rows.parquet"
    target.write_text("old")
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from lmms_eval_shotbench.atomic_file import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as draft:\n"
        "    draft.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(target)], cwd=REPOSITORY, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert target.read_text() == "old"
    write_atomic(target, "new")  # its leftover draft does not interfere
    assert target.read_text() == "new"


@pytest.mark.slow
def test_concurrent_writers_of_one_file_always_leave_a_complete_file(tmp_path: Path) -> None:
    target = tmp_path / "shared.bin"
    code = (
        "import sys; from pathlib import Path\n"
        "from lmms_eval_shotbench.atomic_file import write_atomic\n"
        "for _ in range(40):\n"
        "    write_atomic(Path(sys.argv[1]), sys.argv[2].encode() * 300_000)\n"
        "    content = Path(sys.argv[1]).read_bytes()\n"
        "    assert len(content) == 300_000 and len(set(content)) == 1, 'torn'"
    )
    command = [sys.executable, "-c", code, str(target)]
    writers = [subprocess.Popen([*command, letter], cwd=REPOSITORY) for letter in "abcd"]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["shared.bin"]
