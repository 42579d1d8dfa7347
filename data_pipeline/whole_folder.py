"""A folder that is written whole or not at all.

Owns the way there: everything goes into a sibling `.NAME.partial-PID`, which takes the place of OUT by one rename, or
is removed if anything fails; a folder that it replaces is set aside as `.NAME.replaced-PID` meanwhile. What processes
that were killed have left of either is cleared up. What the folder holds, and whether what is at OUT may be replaced,
is the caller's affair (see `write_shards.py`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class WriteRefused(ValueError):
    """The folder cannot be written there: what is in the way and what to do next."""


@contextmanager
def whole_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """Lend a fresh folder beside `out`; move it there if all goes well, else leave things as they were."""
    created = [parent for parent in out.parents if not parent.exists()]  # nearest first
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        folder.mkdir()
        yield folder
        _move_into_place(folder, out, overwrite)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            for parent in created:
                parent.rmdir()
        raise


def clear_abandoned(out: Path) -> None:
    """Remove what a killed process left beside `out`; put a folder back that it had only half replaced."""
    for path in out.parent.glob(f".{_literal(out.name)}.*-*"):
        state, _, pid = path.name.removeprefix(f".{out.name}.").partition("-")
        if state not in ("partial", "replaced") or not pid.isdecimal() or _is_other_process(int(pid)):
            continue
        if state == "replaced" and not out.exists():
            path.rename(out)
        else:
            shutil.rmtree(path)


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _is_other_process(pid: int) -> bool:
    """Whether another living process has this id; our own can only be left over, from before a restart."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


def _move_into_place(folder: Path, out: Path, overwrite: bool) -> None:
    old = out.with_name(f".{out.name}.replaced-{os.getpid()}")
    if overwrite and out.exists():
        out.rename(old)
    try:
        folder.rename(out)  # also over an empty folder
    except OSError as error:
        if old.exists():
            old.rename(out)
        raise WriteRefused(f"{out} came into use meanwhile ({error.strerror}); choose another --out") from error
    shutil.rmtree(old, ignore_errors=True)
