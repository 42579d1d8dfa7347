"""Folder of the task files, written outside the package: the include path of lmms-eval and lm-eval.

The package contains the hand-written templates and a few tasks as examples; `task_files` and `lm_eval_task_files`
generate the rest. All of them are written to `tasks/<key>/` below $SHOTBENCH_CACHE, or below the system's temporary
folder where the cache is not writable. The key is a hash of the content, so versions and edits never share a folder.
Every process that requests the folder, or in which lmms-eval loads our models, writes the missing files. An evaluation
has a folder with the groups that it runs, since lmms-eval reads every file it finds.

    python -m lmms_eval_shotbench.harness.task_folder

updates the examples in the package after a change of the vocabulary, the prompt styles or the variants.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.environment import CACHE_VARIABLE, cache_root
from lmms_eval_shotbench.harness import lm_eval_task_files, task_files

PACKAGE = Path(__file__).parents[1]
LMMS_EVAL, LM_EVAL = "lmms_eval", "lm_eval"  # subfolders
SOURCES = {  # folder in the package and generator, by subfolder
    f"{LMMS_EVAL}/shotbench": (PACKAGE / "tasks" / "shotbench", task_files.task_files),
    LM_EVAL: (PACKAGE / "lm_eval_tasks", lm_eval_task_files.task_files),
}
KEY = re.compile(r"\.?[0-9a-f]{16}(\..+)?")  # name of one of our folders; with dots, a draft or one being removed
SECONDS_UNUSED = 30 * 24 * 3600  # age since the last use after which a folder with another key is removed

log = logging.getLogger(__name__)


def tasks_path(groups: Collection[str] = ()) -> Path:
    """Return an include path for lmms-eval, with its files written.

    Args:
        groups: Names of the groups it contains, of which lmms-eval then reads the files only; by default all.
    """
    return task_folder(groups) / LMMS_EVAL


def lm_eval_tasks_path() -> Path:
    """Return the include path for lm-eval, with all its files written."""
    return task_folder() / LM_EVAL


def task_folder(groups: Collection[str] = ()) -> Path:
    """Return a folder of task files after writing those that are missing.

    Args:
        groups: Names of the lmms-eval groups it contains; by default all, and the tasks of lm-eval.

    Raises:
        RuntimeError: Neither the cache nor the system's temporary folder is writable.
    """
    files = files_of(groups) if groups else all_files()
    reasons = []
    for root in (_cache, _temporary):
        try:
            return _write_folder(root(), files)
        except (OSError, ValueError, RuntimeError) as error:  # not writable, or there is no home
            reasons.append(str(error))
            log.info("task files cannot be written: %s", error)
    raise RuntimeError(
        f"the task files cannot be written: {'; '.join(reasons)}; set {CACHE_VARIABLE} to a writable folder"
    )


def all_files() -> dict[str, str]:
    """Return file contents by relative path; files in the package override generated ones, so edits take effect."""
    files: dict[str, str] = {}
    for subfolder, (source, generate) in SOURCES.items():
        files |= {f"{subfolder}/{path}": text for path, text in (generate() | package_files(source)).items()}
    return files


def files_of(groups: Collection[str]) -> dict[str, str]:
    """Return those of `all_files` that lmms-eval needs for these groups: without other groups of ours and lm-eval's."""
    others = {name for task in task_files.all_tasks() if task.group not in groups for name in (task.group, task.name)}
    return {
        path: text
        for path, text in all_files().items()
        if path.startswith(f"{LMMS_EVAL}/") and Path(path).stem not in others
    }


def package_files(source: Path) -> dict[str, str]:
    """Return text by path of the task files and templates (without suffix) in a folder of the package."""
    return {
        path.relative_to(source).as_posix(): path.read_text(encoding="utf-8")
        for path in source.rglob("*")
        if path.suffix in ("", ".yaml") and not path.name.startswith(".") and path.is_file()
    }


def _cache() -> Path:
    return cache_root().absolute() / "tasks"


def _temporary() -> Path:
    """Create a folder per user, shared by all processes of a run; task files name code, so only the user may write."""
    root = Path(tempfile.gettempdir()).absolute() / f"shotbench-tasks-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    found = root.lstat()  # does not follow symbolic links
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"{root} is not a folder that only you can write to")
    return root


def _write_folder(root: Path, files: Mapping[str, str]) -> Path:
    folder = root / sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16]
    if not folder.is_dir():
        _create(folder, files)
        _prune(root)
    with suppress(OSError):  # in a shared cache it may belong to another user
        os.utime(folder)  # marks it as used
    _write_missing(folder, files)  # tools that clean temporary folders delete single files
    return folder


def _create(folder: Path, files: Mapping[str, str]) -> None:
    """Write all files to a draft and rename it; if another process was faster, its folder is kept."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _write_missing(draft, files)
        draft.chmod(0o755)  # mkdtemp's 0700 would exclude other users of a shared cache
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_missing(folder: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        try:
            complete = (folder / path).read_bytes() == text.encode()
        except OSError:
            complete = False
        if not complete:
            write_atomic(folder / path, text)


def _prune(root: Path) -> None:
    """Remove folders not used for SECONDS_UNUSED; each is renamed first, so that no process finds a partial one."""
    for folder in root.iterdir():
        with suppress(OSError):  # another process may also be pruning
            if KEY.fullmatch(folder.name) and time.time() - folder.stat().st_mtime > SECONDS_UNUSED:
                away = tempfile.mkdtemp(dir=root, prefix=f".{folder.name.strip('.')}.")
                folder.rename(away)
                shutil.rmtree(away, ignore_errors=True)


def _update_examples() -> None:
    for source, generate in SOURCES.values():
        for path, text in generate().items():
            if (source / path).exists():
                write_atomic(source / path, text)


if __name__ == "__main__":
    _update_examples()
