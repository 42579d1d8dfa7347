"""The folder of task files: complete for every process, in the cache or a private temporary folder."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.environment import CACHE_VARIABLE
from lmms_eval_shotbench.harness import task_files, task_folder
from tests.support import REPOSITORY

PRINT_PATH = "from lmms_eval_shotbench.cli import main; main(['tasks-path'])"
ASK = """
import sys
from lmms_eval_shotbench.harness import task_folder
print("ready", flush=True)
sys.stdin.read()  # wait until all processes are ready
folder = task_folder.task_folder()
found = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
print(folder, "complete" if task_folder.all_files().keys() <= found else "in part")
"""
# Simulate a read-only file system, also for root: any change below the folder raises PermissionError.
READ_ONLY = """
import os, sys
def refuse(event, arguments):
    changes = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.utime", "os.truncate"}
    writes = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if (event in changes or writes) and any(str(one).startswith(PACKAGE) for one in arguments):
        raise PermissionError(f"{event} {arguments}")
sys.addaudithook(refuse)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of a cache that does not exist yet; the temporary folder is also private to the test."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "cache"


@pytest.fixture
def no_cache(cache: Path) -> Path:
    """The user's temporary folder; the cache path is a file, so it cannot be created."""
    cache.write_text("a file", encoding="utf-8")
    return Path(tempfile.gettempdir()) / f"shotbench-tasks-{os.getuid()}"


def stored(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in files}


def printed_path(code: str = PRINT_PATH, **environment: str) -> Path:
    """Run `shotbench tasks-path` in a separate process and return the printed path."""
    command = [sys.executable, "-B", "-c", code]
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    finished = subprocess.run(command, cwd=os.sep, env=variables, capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")
    return Path(finished.stdout.strip())


@pytest.mark.slow
def test_sixteen_processes_at_once_find_one_complete_folder(cache: Path) -> None:
    for _ in ("no folder exists", "half of its tasks are missing"):
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", ASK], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(16)
        ]
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.close()
        seen = {process.stdout.read().strip() for process in processes}
        assert {process.wait() for process in processes} == {0}
        folder = task_folder.task_folder()
        assert seen == {f"{folder} complete"}
        assert [path.name for path in (cache / "tasks").iterdir()] == [folder.name]  # no draft is left
        assert stored(folder) == task_folder.all_files()
        for path in sorted(folder.rglob("*.yaml"))[::2]:
            path.unlink()


def test_the_include_paths_are_computed_on_access(cache: Path) -> None:
    from lmms_eval_shotbench.harness.lmms_eval import TASKS_PATH
    from lmms_eval_shotbench.lm_eval_tasks import FOLDER

    folder = task_folder.task_folder()
    assert folder.parents[1] == cache  # although it was set after the modules were imported
    assert (folder / "lmms_eval", folder / "lm_eval") == (TASKS_PATH, FOLDER)


def test_a_folder_of_one_group_has_all_that_its_tasks_include_and_no_other_group(cache: Path) -> None:
    groups = {"shotbench_circular_reasoning"}
    files = stored(task_folder.task_folder(groups))
    tasks = [task for task in task_files.all_tasks() if task.group in groups]
    names = {*groups, *(task.name for task in tasks)}
    assert tasks and {Path(path).stem for path in files if path.endswith(".yaml")} == names
    assert files.items() <= task_folder.all_files().items()
    for path, text in files.items():
        for include in re.findall("^include: (.+)$", text, re.MULTILINE):
            assert os.path.normpath(Path(path).parent / include) in files


def test_missing_or_changed_files_are_restored(cache: Path) -> None:
    folder = task_folder.task_folder()
    (folder / "lmms_eval/shotbench/_template").unlink()
    shutil.rmtree(folder / "lm_eval/blind")
    (folder / "lmms_eval/shotbench/shotbench.yaml").write_text("group: other\n", encoding="utf-8")
    assert task_folder.task_folder() == folder
    assert stored(folder) == task_folder.all_files()


@pytest.mark.slow
@pytest.mark.parametrize("variable", [CACHE_VARIABLE, "HOME"])
def test_without_a_writable_home_all_processes_share_a_temporary_folder(
    variable: str, no_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unwritable = str(no_cache.parents[1] / "cache")  # a file
    monkeypatch.setenv(CACHE_VARIABLE, "")
    monkeypatch.setenv(variable, unwritable)
    path = task_folder.tasks_path()
    assert printed_path() == path
    assert path.parents[1] == no_cache
    assert stored(path.parent) == task_folder.all_files()
    assert no_cache.stat().st_mode & 0o077 == 0


def test_a_temporary_folder_that_others_can_write_to_is_not_trusted(
    no_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def check_refused() -> None:
        assert main(["tasks-path"]) == 2
        printed = capsys.readouterr()
        assert not printed.out and f"{no_cache} is not a folder that only you can write to" in printed.err
        assert f"set {CACHE_VARIABLE}" in printed.err

    no_cache.mkdir()
    no_cache.chmod(0o777)
    check_refused()
    assert not list(no_cache.iterdir())
    if os.getuid() == 0:  # only root can change the owner
        no_cache.chmod(0o700)
        os.chown(no_cache, 65534, 65534)
        check_refused()
    no_cache.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    no_cache.symlink_to(tmp_path / "elsewhere")
    check_refused()


@pytest.mark.slow
def test_a_read_only_installation_works_and_an_edit_of_it_gets_another_key(cache: Path, tmp_path: Path) -> None:
    installed = tmp_path / "site" / "lmms_eval_shotbench"
    shutil.copytree(REPOSITORY / "lmms_eval_shotbench", installed, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (installed, *installed.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    code = f"PACKAGE = {str(installed)!r}\n{READ_ONLY}\n{PRINT_PATH}\nimport lmms_eval_shotbench as package\n"
    code += "assert package.__file__.startswith(PACKAGE), package.__file__"
    path = printed_path(code, PYTHONPATH=str(installed.parent))
    assert path == task_folder.tasks_path()

    template = installed / "tasks/shotbench/_template"
    template.chmod(0o644)
    template.write_text(template.read_text(encoding="utf-8").replace("1024", "2048"), encoding="utf-8")
    edited = printed_path(code, PYTHONPATH=str(installed.parent))
    assert edited.parents[1] == path.parents[1] and edited != path
    assert "max_new_tokens: 2048" in (edited / "shotbench/_template").read_text(encoding="utf-8")
    assert stored(path.parent) == task_folder.all_files()
    for folder in (installed, *installed.rglob("*/")):
        folder.chmod(0o755)


@pytest.mark.slow
def test_a_second_node_creates_its_own_folder(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = printed_path(**{CACHE_VARIABLE: str(tmp_path / "first")})
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "second"))
    second = task_folder.tasks_path()
    assert first.relative_to(tmp_path / "first") == second.relative_to(tmp_path / "second")
    assert stored(second.parent) == stored(first.parent) == task_folder.all_files()


def test_only_long_unused_keys_are_removed(cache: Path) -> None:
    folder = task_folder.task_folder()
    old = time.time() - 2 * task_folder.SECONDS_UNUSED
    names = {"stale": "0" * 16, "draft": f".{'1' * 16}.abcdefgh", "fresh": "2" * 16, "another's": "notes"}
    for kind, name in names.items():
        (folder.parent / name / "lmms_eval").mkdir(parents=True)
        if kind != "fresh":
            os.utime(folder.parent / name, (old, old))
    os.utime(folder, (old, old))
    task_folder.task_folder()  # marks the existing folder as used, without pruning
    assert folder.stat().st_mtime > old
    assert len(list(folder.parent.iterdir())) == 5
    shutil.rmtree(folder)
    assert task_folder.task_folder() == folder
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, names["fresh"], names["another's"]}


@pytest.mark.host
def test_an_evaluation_of_other_tasks_continues_if_ours_cannot_be_written(
    no_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("lmms_eval")
    from lmms_eval_shotbench.models import manifests

    no_cache.symlink_to(no_cache.parent)
    assert {manifest.model_id for manifest in manifests()} == {"shotvl", "image_classifier", "replay"}
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings and all("ShotBench tasks are not available" in warning for warning in warnings)
