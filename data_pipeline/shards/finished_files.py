"""The journal of a shard folder in the making: which of its files are finished, so that a killed run can go on.

Owns the journal's form, the way in which a file becomes finished (on the disk, checksum, journal line; in a thread of
its own, beside the writing of the next file), and the tidying of what a killed run has left. What is in the files is
the affair of `split_writer.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data_pipeline.shards.whole_folder import Draft, make_durable
from lmms_eval_shotbench.atomic_file import write_atomic

DATA = "data"
_FINAL_NAME = re.compile(r"(?P<start>.+-\d{5})-of-\d{5}\.parquet")


@dataclass(frozen=True)
class FinishedFile:
    """One parquet file of a split that will not be written again."""

    split: str
    number: int  # within the split
    rows: int
    items: str  # checksum of its questions: a source that gives other ones cannot go on here
    media_bytes: int
    bytes: int = 0  # once it is finished, as is its checksum
    blake3: str = ""

    @property
    def name(self) -> str:
        """What it is called until the number of files is known."""
        return f"{self.split}-{self.number:05d}.parquet"


class FinishedFiles:
    """The finished files of a draft; new ones are added with `finish`. Use it as a context."""

    def __init__(self, draft: Draft, key: Mapping[str, Any]) -> None:
        """Take over what an earlier run with the same key has finished; remove everything else from the draft."""
        self._draft, self._folder = draft, draft.folder / DATA
        self._folder.mkdir(parents=True, exist_ok=True)
        self._undo_final_names()
        self.files = self._whole(_read_journal(draft.journal, key))
        draft.worth_keeping = bool(self.files)
        self._remove_all_but({file.name for file in self.files})
        lines = [key, *map(asdict, self.files)]
        write_atomic(draft.journal, "".join(json.dumps(line) + "\n" for line in lines))
        self._thread = ThreadPoolExecutor(1, "finish-shards")
        self._pending: Future[None] | None = None

    def __enter__(self) -> FinishedFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def of(self, split: str) -> list[FinishedFile]:
        """A split's files, in order."""
        return [file for file in self.files if file.split == split]

    def finish(self, file: FinishedFile) -> None:
        """Have a closed file made durable and journaled, once the one before it is."""
        self.wait()
        self._pending = self._thread.submit(self._finish, file)

    def wait(self) -> None:
        """Wait for the last file; raises what went wrong with it."""
        if self._pending:
            self._pending.result()
        self._pending = None

    def give_final_names(self) -> dict[str, FinishedFile]:
        """Rename all files to names that tell how many there are; returns them by that name."""
        self.wait()
        named = {f"{f.split}-{f.number:05d}-of-{len(self.of(f.split)):05d}.parquet": f for f in self.files}
        for name, file in named.items():
            (self._folder / file.name).rename(self._folder / name)
        make_durable(self._folder)
        return named

    def _finish(self, file: FinishedFile) -> None:
        path = self._folder / file.name
        make_durable(path)
        whole = replace(file, bytes=path.stat().st_size, blake3=file_blake3(path))
        make_durable(self._folder)
        with self._draft.journal.open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(asdict(whole)) + "\n")
            journal.flush()
            os.fsync(journal.fileno())
        self.files.append(whole)
        self._draft.worth_keeping = True

    def _undo_final_names(self) -> None:
        """A run may have been killed between its last renames."""
        for path in self._folder.iterdir():
            if found := _FINAL_NAME.fullmatch(path.name):
                path.rename(path.with_name(f"{found['start']}.parquet"))

    def _whole(self, files: Sequence[FinishedFile]) -> list[FinishedFile]:
        """Each split's files up to the first that is missing or of another size."""
        whole: list[FinishedFile] = []
        for file in files:
            path = self._folder / file.name
            follows = file.number == sum(other.split == file.split for other in whole)
            if follows and path.is_file() and path.stat().st_size == file.bytes:
                whole.append(file)
        return whole

    def _remove_all_but(self, names: set[str]) -> None:
        for path in [*self._draft.place.iterdir(), *self._draft.folder.iterdir(), *self._folder.iterdir()]:
            if path in (self._draft.folder, self._draft.journal, self._folder):
                continue
            if path.parent == self._folder and path.name in names:
                continue
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _read_journal(path: Path, key: Mapping[str, Any]) -> list[FinishedFile]:
    """The journal's files, if it is of this key; a last line that was cut off does not count."""
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        if json.loads(first) != json.loads(json.dumps(key)):
            return []
    except (OSError, ValueError):
        return []
    files = []
    for line in lines:
        try:
            files.append(FinishedFile(**json.loads(line)))
        except (ValueError, TypeError):
            break
    return files


def file_blake3(path: Path) -> str:
    """Checksum of a file, read in pieces, in hexadecimal."""
    from blake3 import blake3

    with path.open("rb", 0) as stream:
        return hashlib.file_digest(stream, blake3).hexdigest()  # type: ignore[arg-type]  # asks for more than it uses
