"""Atomic writing of a folder, resumable after an interruption.

Everything is written to a draft beside OUT, `.NAME.partial/`, whose folder `shards` is renamed to OUT at the end; a
folder that it replaces is renamed to `.NAME.replaced` first. If writing fails, a draft with finished files is kept, so
that the next run resumes, unless the error is a `ValueError`: in all stages it means invalid input. The content is
written by the callers (`write_shards.py`, `push_to_folder.py`); concurrent writers are excluded by `folder_lock.py`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_pipeline.medium_guard import RunEnds
from data_pipeline.shards.full_disk import disk_full_reported


class WriteRefused(RunEnds, ValueError):
    """The folder cannot be written there; the message says why and what to do next."""


@dataclass
class Draft:
    """The unfinished folder."""

    root: Path
    worth_keeping: bool  # whether to keep the draft if writing fails

    @property
    def folder(self) -> Path:
        """The folder that becomes OUT."""
        return self.root / "shards"

    @property
    def journal(self) -> Path:
        """State for a later run that resumes; removed with the draft."""
        return self.root / "journal.jsonl"


@contextmanager
def atomic_folder(out: Path, overwrite: bool) -> Iterator[Draft]:
    """Yield the draft of `out`, including the files of an interrupted run; rename it to `out` on success."""
    root = _draft_path(out)
    draft = Draft(root, worth_keeping=root.exists())  # until the caller has checked the files of an interrupted run
    try:
        with disk_full_reported(out):
            draft.folder.mkdir(parents=True, exist_ok=True)
        yield draft
        _move_into_place(draft.folder, out, overwrite)
    except BaseException as error:
        if isinstance(error, ValueError) or not draft.worth_keeping:
            shutil.rmtree(draft.root, ignore_errors=True)
        raise
    shutil.rmtree(draft.root)


def bytes_in_draft(out: Path) -> int:
    """Bytes of the files that an interrupted run left in the draft of `out`."""
    return sum(path.stat().st_size for path in _draft_path(out).rglob("*") if path.is_file())


def _draft_path(out: Path) -> Path:
    return out.with_name(f".{out.name}.partial")


def replaced_path(out: Path) -> Path:
    """Temporary path of the folder being replaced, between the two renames."""
    return out.with_name(f".{out.name}.replaced")


def restore_replaced(out: Path) -> None:
    """Undo or complete a replacement during which a process was killed."""
    old = replaced_path(out)
    if old.exists() and out.exists() and any(out.iterdir()):
        shutil.rmtree(old)
    elif old.exists():
        old.rename(out)


def make_durable(path: Path) -> None:
    """fsync a file or folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move_into_place(folder: Path, out: Path, overwrite: bool) -> None:
    old = replaced_path(out)
    if overwrite and out.exists():
        out.rename(old)
    try:
        folder.rename(out)  # also replaces an empty folder
    except OSError as error:
        if old.exists():
            old.rename(out)
        raise WriteRefused(f"{out} was created in the meantime ({error.strerror}); choose another --out") from error
    make_durable(out.parent)
    shutil.rmtree(old, ignore_errors=True)
