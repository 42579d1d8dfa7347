"""Copy a shard folder to another local folder, atomically.

Owns the copying; the draft beside the target and its resumption are in `atomic_folder.py`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from data_pipeline.shards.atomic_folder import Draft, atomic_folder, make_durable, restore_replaced
from data_pipeline.shards.finished_files import file_blake3
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.full_disk import disk_full_reported, require_disk_space
from data_pipeline.shards.manifest import ListedFile, check_target
from data_pipeline.shards.push_result import PushRefused, PushResult
from lmms_eval_shotbench.progress import with_progress
from lmms_eval_shotbench.questions.shards import MANIFEST


def push_to_folder(shards: Path, files: Sequence[ListedFile], target: Path, overwrite: bool) -> PushResult:
    """Copy the listed files and the manifest; each copy is read back and verified."""
    out, source = Path(os.path.realpath(target.expanduser())), Path(os.path.realpath(shards))
    if out == source or source in out.parents or out in source.parents:
        raise PushRefused(f"{target} is inside {shards} or contains it; choose another target")
    if not out.name or (out.exists() and not out.is_dir()):
        raise PushRefused(f"{target} is not a folder; choose another target")
    manifest = (shards / MANIFEST).read_bytes()
    with only_writer(out):
        restore_replaced(out)
        if _is_complete(out, files, manifest):
            return PushResult(str(out), 0, 0, len(files) + 1)
        check_target(out, overwrite)
        with atomic_folder(out, overwrite) as draft:
            kept = _keep_intact(draft, files)
            to_copy = [file for file in files if file not in kept]
            require_disk_space(out, sum(file.bytes for file in to_copy))
            with disk_full_reported(out):
                _copy(shards, to_copy, draft)
                (draft.folder / MANIFEST).write_bytes(manifest)
                make_durable(draft.folder / MANIFEST)
                make_durable(draft.folder)
    return PushResult(str(out), len(to_copy) + 1, sum(file.bytes for file in to_copy) + len(manifest), len(kept))


def _is_complete(out: Path, files: Sequence[ListedFile], manifest: bytes) -> bool:
    """Whether `out` already holds these shards, by manifest and file sizes."""
    try:
        same = (out / MANIFEST).read_bytes() == manifest
        return same and all((out / file.name).stat().st_size == file.bytes for file in files)
    except OSError:
        return False


def _keep_intact(draft: Draft, files: Sequence[ListedFile]) -> list[ListedFile]:
    """The files that an interrupted copy left complete in the draft; all other files are removed from it."""
    intact = [file for file in files if _is_intact(draft.folder / file.name, file)]
    paths = {draft.folder / file.name for file in intact}
    for path in [path for path in draft.root.rglob("*") if not path.is_dir() and path not in paths]:
        path.unlink()
    draft.worth_keeping = bool(intact)
    return intact


def _is_intact(path: Path, file: ListedFile) -> bool:
    return path.is_file() and path.stat().st_size == file.bytes and file_blake3(path) == file.blake3


def _copy(shards: Path, files: Sequence[ListedFile], draft: Draft) -> None:
    for file in with_progress(files, "copy", len(files), "file"):
        path = draft.folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shards / file.name, path)
        make_durable(path)
        if not _is_intact(path, file):
            raise PushRefused(f"the copy {path} differs from its source; check the disk")
        draft.worth_keeping = True
