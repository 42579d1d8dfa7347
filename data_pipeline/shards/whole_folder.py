"""A folder that is written whole or not at all, and whose writing can go on after it was killed.

Owns the way there: everything goes into a draft beside OUT, `.NAME.partial/`, whose folder `shards` takes the place of
OUT by one rename; a folder that it replaces is set aside as `.NAME.replaced` meanwhile. When writing breaks off, the
draft stays if something in it is worth keeping, unless the rows themselves were refused (`ValueError`, as all our steps
refuse). What the folder holds is the caller's affair (`write_shards.py`, `copy_shards.py`), that there is no second
writer that of `folder_lock.py`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_pipeline.shards.full_disk import disk_full_reported


class WriteRefused(ValueError):
    """The folder cannot be written there: what is in the way and what to do next."""


@dataclass
class Draft:
    """The unfinished folder."""

    place: Path
    worth_keeping: bool

    @property
    def folder(self) -> Path:
        """What becomes OUT."""
        return self.place / "shards"

    @property
    def journal(self) -> Path:
        """A file beside it, for what a later run must know; it goes with the draft."""
        return self.place / "journal.jsonl"


@contextmanager
def whole_folder(out: Path, overwrite: bool) -> Iterator[Draft]:
    """Lend the draft of `out`, with what an earlier run left in it; move it into place if all goes well."""
    place = _place(out)
    draft = Draft(place, worth_keeping=place.exists())  # until the caller has looked at what an earlier run has left
    try:
        with disk_full_reported(out):
            draft.folder.mkdir(parents=True, exist_ok=True)
        yield draft
        _move_into_place(draft.folder, out, overwrite)
    except BaseException as error:
        if isinstance(error, ValueError) or not draft.worth_keeping:
            shutil.rmtree(draft.place, ignore_errors=True)
        raise
    shutil.rmtree(draft.place)


def bytes_in_draft(out: Path) -> int:
    """What an earlier run has left in the draft of `out`."""
    return sum(path.stat().st_size for path in _place(out).rglob("*") if path.is_file())


def _place(out: Path) -> Path:
    return out.with_name(f".{out.name}.partial")


def set_aside(out: Path) -> Path:
    """Where the folder that is being replaced lies for the moment between two renames."""
    return out.with_name(f".{out.name}.replaced")


def put_back(out: Path) -> None:
    """Undo, or finish, the replacement in which a process was killed."""
    old = set_aside(out)
    if old.exists() and out.exists() and any(out.iterdir()):
        shutil.rmtree(old)
    elif old.exists():
        old.rename(out)


def make_durable(path: Path) -> None:
    """Wait until a file or folder is on the disk itself."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move_into_place(folder: Path, out: Path, overwrite: bool) -> None:
    old = set_aside(out)
    if overwrite and out.exists():
        out.rename(old)
    try:
        folder.rename(out)  # also over an empty folder
    except OSError as error:
        if old.exists():
            old.rename(out)
        raise WriteRefused(f"{out} came into use meanwhile ({error.strerror}); choose another --out") from error
    make_durable(out.parent)
    shutil.rmtree(old, ignore_errors=True)
