"""The journal of an unfinished shard folder: which of its files are finished, so that an interrupted run can resume.

Owns the format of the journal, the finishing of a file (fsync, checksum, journal line; in a separate thread while the
next file is written), and the cleanup after an interrupted run. Drafts in remote storage are in `remote_draft.py`, the
content of the files in `split_writer.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from data_pipeline.shards.atomic_folder import Draft, make_durable
from lmms_eval_shotbench.atomic_file import write_atomic

DATA = "data"
_FINAL_NAME = re.compile(r"(?P<start>.+-\d{5})-of-\d{5}\.parquet")


@dataclass(frozen=True)
class FinishedFile:
    """One finished parquet file of a split; it is not written again."""

    split: str
    number: int  # within the split
    rows: int
    items: str  # SHA-256 of its questions; resuming with different questions is refused
    media_bytes: int
    bytes: int = 0  # size of the file; like `blake3`, it is set when the file is finished
    blake3: str = ""

    @property
    def name(self) -> str:
        """File name until the total number of files is known."""
        return f"{self.split}-{self.number:05d}.parquet"


class ShardFiles(ABC):
    """The finished files of a shard folder that is being written; new ones are added with `finish`."""

    def __init__(self, files: Sequence[FinishedFile]) -> None:
        self.files = list(files)
        self._thread = ThreadPoolExecutor(1, "finish-shards")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def of(self, split: str) -> list[FinishedFile]:
        """A split's files, in order."""
        return [file for file in self.files if file.split == split]

    def finish(self, file: FinishedFile) -> None:
        """Queue a closed file for fsync, checksum and journal entry in the background; waits for the previous one."""
        self.wait()
        self._pending = self._thread.submit(self._finish, file)

    def wait(self) -> None:
        """Wait for the last file; raises its exception if it failed."""
        if self._pending:
            self._pending.result()
        self._pending = None

    def give_final_names(self) -> dict[str, FinishedFile]:
        """Name all files NAME-of-TOTAL.parquet; returns them by their final name."""
        self.wait()
        totals = Counter(file.split for file in self.files)
        return {f"{f.split}-{f.number:05d}-of-{totals[f.split]:05d}.parquet": f for f in self.files}

    @abstractmethod
    def _finish(self, file: FinishedFile) -> None:
        """Make a closed file and its journal entry permanent, and add it to `files`."""


class FinishedFiles(ShardFiles):
    """The finished files of a draft on a local disk. A context manager."""

    def __init__(self, draft: Draft, key: Mapping[str, Any]) -> None:
        """Keep the files that an earlier run with the same key finished; remove everything else from the draft."""
        self._draft, self._folder = draft, draft.folder / DATA
        self._folder.mkdir(parents=True, exist_ok=True)
        self._undo_final_names()
        journal = draft.journal.read_text(encoding="utf-8", errors="replace") if draft.journal.is_file() else ""
        super().__init__(intact(journal_files(journal, key), self._size))
        draft.worth_keeping = bool(self.files)
        self._remove_all_but({file.name for file in self.files})
        write_atomic(draft.journal, journal_text(key, self.files))

    def give_final_names(self) -> dict[str, FinishedFile]:
        """Rename all files to NAME-of-TOTAL.parquet; returns them by their final name."""
        named = super().give_final_names()
        for name, file in named.items():
            (self._folder / file.name).rename(self._folder / name)
        make_durable(self._folder)
        return named

    def _finish(self, file: FinishedFile) -> None:
        path = self._folder / file.name
        make_durable(path)
        finished = replace(file, bytes=path.stat().st_size, blake3=file_blake3(path))
        make_durable(self._folder)
        with self._draft.journal.open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(asdict(finished)) + "\n")
            journal.flush()
            os.fsync(journal.fileno())
        self.files.append(finished)
        self._draft.worth_keeping = True

    def _size(self, file: FinishedFile) -> int | None:
        path = self._folder / file.name
        return path.stat().st_size if path.is_file() else None

    def _undo_final_names(self) -> None:
        """Undo `give_final_names` of a run that was killed between its renames."""
        for path in self._folder.iterdir():
            if found := _FINAL_NAME.fullmatch(path.name):
                path.rename(path.with_name(f"{found['start']}.parquet"))

    def _remove_all_but(self, names: set[str]) -> None:
        for path in [*self._draft.root.iterdir(), *self._draft.folder.iterdir(), *self._folder.iterdir()]:
            if path in (self._draft.folder, self._draft.journal, self._folder):
                continue
            if path.parent == self._folder and path.name in names:
                continue
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def journal_text(key: Mapping[str, Any], files: Sequence[FinishedFile]) -> str:
    """The content of a journal."""
    return "".join(json.dumps(line) + "\n" for line in [key, *map(asdict, files)])


def journal_files(journal: str, key: Mapping[str, Any]) -> list[FinishedFile]:
    """The files of a journal if its key matches, else none; a truncated last line is ignored."""
    try:
        first, *lines = journal.splitlines()
        if json.loads(first) != json.loads(json.dumps(key)):
            return []
    except ValueError:
        return []
    files = []
    for line in lines:
        try:
            files.append(FinishedFile(**json.loads(line)))
        except (ValueError, TypeError):
            break
    return files


def intact(files: Sequence[FinishedFile], size: Callable[[FinishedFile], int | None]) -> list[FinishedFile]:
    """The files of each split before the first that is missing or has the wrong size.

    Args:
        size: Returns the size of a file in the draft, or None if it is missing.
    """
    found: list[FinishedFile] = []
    counts: Counter[str] = Counter()
    for file in files:
        if file.number == counts[file.split] and size(file) == file.bytes:
            found.append(file)
            counts[file.split] += 1
    return found


def file_blake3(path: Path) -> str:
    """BLAKE3 checksum of a file in hexadecimal, read in chunks."""
    from blake3 import blake3

    with path.open("rb", 0) as stream:
        return hashlib.file_digest(stream, blake3).hexdigest()  # type: ignore[arg-type]  # the stub's protocol is too strict
