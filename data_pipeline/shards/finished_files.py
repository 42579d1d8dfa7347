"""The journal of an unfinished shard folder: which of its files are finished, so that an interrupted run can resume.

Owns the format of the journal, the finishing of a file (fsync, checksum, journal line; in a separate thread while the
next file is written), and the cleanup after an interrupted run. The content of the files is in `split_writer.py`.
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


class FinishedFiles:
    """The finished files of a draft; new ones are added with `finish`. A context manager."""

    def __init__(self, draft: Draft, key: Mapping[str, Any]) -> None:
        """Keep the files that an earlier run with the same key finished; remove everything else from the draft."""
        self._draft, self._folder = draft, draft.folder / DATA
        self._folder.mkdir(parents=True, exist_ok=True)
        self._undo_final_names()
        self.files = self._intact(_read_journal(draft.journal, key))
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
        """Queue a closed file for fsync, checksum and journal entry in the background; waits for the previous one."""
        self.wait()
        self._pending = self._thread.submit(self._finish, file)

    def wait(self) -> None:
        """Wait for the last file; raises its exception if it failed."""
        if self._pending:
            self._pending.result()
        self._pending = None

    def give_final_names(self) -> dict[str, FinishedFile]:
        """Rename all files to NAME-of-TOTAL.parquet; returns them by their final name."""
        self.wait()
        named = {f"{f.split}-{f.number:05d}-of-{len(self.of(f.split)):05d}.parquet": f for f in self.files}
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

    def _undo_final_names(self) -> None:
        """Undo `give_final_names` of a run that was killed between its renames."""
        for path in self._folder.iterdir():
            if found := _FINAL_NAME.fullmatch(path.name):
                path.rename(path.with_name(f"{found['start']}.parquet"))

    def _intact(self, files: Sequence[FinishedFile]) -> list[FinishedFile]:
        """The files of each split before the first that is missing or has the wrong size."""
        intact: list[FinishedFile] = []
        for file in files:
            path = self._folder / file.name
            follows = file.number == sum(other.split == file.split for other in intact)
            if follows and path.is_file() and path.stat().st_size == file.bytes:
                intact.append(file)
        return intact

    def _remove_all_but(self, names: set[str]) -> None:
        for path in [*self._draft.root.iterdir(), *self._draft.folder.iterdir(), *self._folder.iterdir()]:
            if path in (self._draft.folder, self._draft.journal, self._folder):
                continue
            if path.parent == self._folder and path.name in names:
                continue
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _read_journal(path: Path, key: Mapping[str, Any]) -> list[FinishedFile]:
    """The files of the journal if its key matches, else none; a truncated last line is ignored."""
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
    """BLAKE3 checksum of a file in hexadecimal, read in chunks."""
    from blake3 import blake3

    with path.open("rb", 0) as stream:
        return hashlib.file_digest(stream, blake3).hexdigest()  # type: ignore[arg-type]  # the stub's protocol is too strict
