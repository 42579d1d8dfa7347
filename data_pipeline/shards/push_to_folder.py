"""Copy a shard folder to another place on this machine, whole or not at all.

Owns the copying; the draft beside the target, and what of it outlives an interruption, is as in `whole_folder.py`.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from data_pipeline.shards.finished_files import file_blake3
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.full_disk import disk_full_reported, require_room
from data_pipeline.shards.manifest import Listed, check_place
from data_pipeline.shards.pushed import Pushed, PushRefused
from data_pipeline.shards.whole_folder import Draft, make_durable, put_back, whole_folder
from lmms_eval_shotbench.questions.shards import MANIFEST


def push_to_folder(shards: Path, files: Sequence[Listed], target: Path, overwrite: bool) -> Pushed:
    """Copy the listed files and the manifest; each copy is read again and compared."""
    out, source = Path(os.path.realpath(target.expanduser())), Path(os.path.realpath(shards))
    if out == source or source in out.parents or out in source.parents:
        raise PushRefused(f"{target} lies in {shards} or holds it; choose another place")
    if not out.name or (out.exists() and not out.is_dir()):
        raise PushRefused(f"{target} is no folder; choose another place")
    manifest = (shards / MANIFEST).read_bytes()
    with only_writer(out):
        put_back(out)
        if _holds(out, files, manifest):
            return Pushed(str(out), 0, 0, len(files) + 1)
        check_place(out, overwrite)
        with whole_folder(out, overwrite) as draft:
            there = _tidied(draft, files)
            to_copy = [file for file in files if file not in there]
            require_room(out, sum(file.bytes for file in to_copy))
            with disk_full_reported(out):
                _copy(shards, to_copy, draft)
                (draft.folder / MANIFEST).write_bytes(manifest)
                make_durable(draft.folder / MANIFEST)
                make_durable(draft.folder)
    return Pushed(str(out), len(to_copy) + 1, sum(file.bytes for file in to_copy) + len(manifest), len(there))


def _holds(out: Path, files: Sequence[Listed], manifest: bytes) -> bool:
    """Whether these shards are there, by manifest and sizes."""
    try:
        same = (out / MANIFEST).read_bytes() == manifest
        return same and all((out / file.name).stat().st_size == file.bytes for file in files)
    except OSError:
        return False


def _tidied(draft: Draft, files: Sequence[Listed]) -> list[Listed]:
    """What an interrupted copy has left whole in the draft; everything else is removed from it."""
    there = [file for file in files if _is_whole(draft.folder / file.name, file)]
    kept = {draft.folder / file.name for file in there}
    for path in [path for path in draft.place.rglob("*") if not path.is_dir() and path not in kept]:
        path.unlink()
    draft.worth_keeping = bool(there)
    return there


def _is_whole(path: Path, file: Listed) -> bool:
    return path.is_file() and path.stat().st_size == file.bytes and file_blake3(path) == file.blake3


def _copy(shards: Path, files: Sequence[Listed], draft: Draft) -> None:
    from tqdm import tqdm

    for file in tqdm(files, "copy", unit="file", file=sys.stderr, disable=None):
        path = draft.folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shards / file.name, path)
        make_durable(path)
        if not _is_whole(path, file):
            raise PushRefused(f"the copy {path} is not what was sent; check the disk")
        draft.worth_keeping = True
