"""Write questions and their media atomically as a shard folder (`lmms_eval_shotbench/questions/shards.py`).

Owns the order of the steps and the check whether OUT already holds the requested shards. Rows are consumed one at a
time; at most a few row groups are in memory. A row whose medium cannot be read is lost, with a defect. Calling
`write_shards` again after an interruption, with the same source and settings, resumes after the last finished file, and
the result is byte-identical.

Parquet files are written in `split_writer.py`, finished files recorded in `finished_files.py`; the draft folder and its
renaming are in `atomic_folder.py`, those in remote storage in `remote_draft.py`, the lock in `folder_lock.py`, disk
space in `full_disk.py`, the dataset card in `dataset_card.py`, checksums and the check whether OUT may be replaced in
`manifest.py`.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from data_pipeline.defects import Defect, Flaw, loss_summary
from data_pipeline.medium_guard import MediumGuard
from data_pipeline.shards import split_writer
from data_pipeline.shards.atomic_folder import Draft, WriteRefused, atomic_folder, replaced_path, restore_replaced
from data_pipeline.shards.composition import Composition, Counts, in_card_order
from data_pipeline.shards.dataset_card import CARD, DEFECTS, About, write_card, write_defects
from data_pipeline.shards.finished_files import DATA, FinishedFiles, ShardFiles
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.full_disk import disk_full_reported, require_disk_space
from data_pipeline.shards.manifest import check_target, write_manifest
from data_pipeline.shards.remote_draft import remote_draft
from data_pipeline.shards.split_writer import SplitWriter
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import FORMAT_VERSION, MANIFEST
from lmms_eval_shotbench.remote_path import Location, RemotePath, resolved

SPLIT_NAME = re.compile(r"\w+")
NO_EXTRA: Mapping[str, str | bytes] = MappingProxyType({})


class PendingRow(NamedTuple):
    """A question, its split, and a function that returns the encoded bytes of its medium."""

    split: str
    item: QAItem
    read: Callable[[], bytes]  # called before the next row is requested; not called for rows that an earlier run wrote
    line: int = 0  # in the source, for defects

    @classmethod
    def of(cls, split: str, item: QAItem, medium: bytes) -> PendingRow:
        """Return a row whose medium is already in memory."""
        return cls(split, item, lambda: medium)


class NothingLeft(WriteRefused):
    """There are no rows to write; the message says why."""


class WrittenShards(NamedTuple):
    """Result of `write_shards`."""

    folder: Location
    counts: Counts
    already_complete: bool


def write_shards(
    rows: Iterable[PendingRow],
    out: Location,
    about: About,
    *,
    splits: Sequence[str],
    overwrite: bool = False,
    defects: list[Defect] | None = None,
    extra: Mapping[str, str | bytes] = NO_EXTRA,
    expected_bytes: int = 0,
    read_at_once: int = 1,
) -> WrittenShards:
    """Write the questions and media of all splits to `out`.

    Args:
        rows: Rows of all splits in any order; the order within a split is kept. Iterated once.
        about: Texts of the dataset card, and a fingerprint that must change with everything that determines the rows:
            source, settings, seed.
        splits: The names of all splits, including those without rows.
        overwrite: Replace existing shards at `out` once the new ones are complete.
        defects: Defects of the source. Read after the last row, so that iterating over `rows` may append to it; rows
            whose medium cannot be read are appended here.
        extra: Contents of additional small files by file name; also read after the last row.
        expected_bytes: Total bytes of media if known, to check the free disk space in advance.
        read_at_once: Number of media that are read at the same time; with more than 1, `rows` is iterated ahead of it.

    Raises:
        NothingLeft: there are no rows. Nothing is left behind.
        WriteRefused: `out` holds something else, or another process writes there. Nothing is left behind.
        DiskFull: not enough disk space. Shards at `out` are untouched; the next call with the same fingerprint resumes.
    """
    out, splits = resolved(out), in_card_order(splits)
    defects = [] if defects is None else defects
    if bad := [split for split in splits if not SPLIT_NAME.fullmatch(split)]:
        raise ValueError(f"{bad[0]!r} is not a valid name for a split; use letters, digits and _")

    def write(draft: Path, files: ShardFiles) -> Counts:
        """Write everything into a draft; `files` has the data files that are finished already."""
        disk = out if isinstance(out, Path) else draft
        remaining = expected_bytes - sum(file.media_bytes for file in files.files)
        if isinstance(out, RemotePath):  # finished files leave the disk
            remaining = min(remaining, split_writer.FILE_BYTES * (len(splits) + 1))
        require_disk_space(disk, remaining)
        writers = _SplitWriters(disk, draft, splits, files, remaining, defects)
        composition = writers.write(rows, read_at_once)
        if not any(composition.counts.values()):
            raise NothingLeft(f"no question is left to write to {out} ({loss_summary(defects)})")
        _ = composition.audit_markdown  # computed while the last files are written in the background
        with disk_full_reported(disk):
            data = files.give_final_names()
            write_defects(draft, defects)
            for name, content in extra.items():
                _write_extra(draft, name, content)
            write_card(draft, composition, about, defects, data.values())
            write_manifest(draft, composition.counts, about.fingerprint, data, defects)
        return composition.counts

    if isinstance(out, RemotePath):
        if not overwrite and (finished := finished_manifest(out, about.fingerprint)):
            return WrittenShards(out, finished["counts"], already_complete=True)
        with remote_draft(out, overwrite, _key(about, splits)) as (folder, files):
            counts = write(folder, files)
        return WrittenShards(out, counts, already_complete=False)
    if not overwrite and not replaced_path(out).exists() and (finished := finished_manifest(out, about.fingerprint)):
        return WrittenShards(out, finished["counts"], already_complete=True)
    if not out.name or (out.exists() and not out.is_dir()):
        raise WriteRefused(f"{out} is not a folder; choose another --out")
    with only_writer(out):
        restore_replaced(out)
        if (finished := finished_manifest(out, about.fingerprint)) and not overwrite:
            return WrittenShards(out, finished["counts"], already_complete=True)
        check_target(out, overwrite)
        with atomic_folder(out, overwrite) as draft, _finished_files(out, draft, _key(about, splits)) as local_files:
            counts = write(draft.folder, local_files)
    return WrittenShards(out, counts, already_complete=False)


def finished_manifest(out: Location, fingerprint: str) -> dict[str, Any] | None:
    """Return the manifest at `out` if the shards there are complete and of this source, else None.

    Format version, fingerprint and file sizes are compared, not checksums.
    """
    try:
        manifest: dict[str, Any] = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        if (manifest["format_version"], manifest["source_fingerprint"]) != (FORMAT_VERSION, fingerprint):
            return None
        folder = out.listed() if isinstance(out, RemotePath) else out
        complete = all((folder / name).stat().st_size == file["bytes"] for name, file in manifest["files"].items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return manifest if complete else None


def _key(about: About, splits: Sequence[str]) -> dict[str, Any]:
    """What finished files depend on: format, source, splits and file sizes."""
    sizes = [split_writer.ROW_GROUP_ROWS, split_writer.ROW_GROUP_BYTES, split_writer.FILE_BYTES]
    return {
        "format_version": FORMAT_VERSION,
        "source_fingerprint": about.fingerprint,
        "splits": splits,
        "sizes": sizes,
    }


def _finished_files(out: Path, draft: Draft, key: Mapping[str, Any]) -> FinishedFiles:
    """Return the files that an interrupted run with the same key finished."""
    with disk_full_reported(out):
        return FinishedFiles(draft, key)


class _SplitWriters:
    """One writer per split, and the byte counts for messages about a full disk."""

    def __init__(
        self,
        out: Path,
        folder: Path,
        splits: Sequence[str],
        files: ShardFiles,
        remaining: int,
        defects: list[Defect],
    ) -> None:
        self._out, self._remaining, self._composition = out, remaining, Composition(splits)
        self._defects = defects
        self._writers = {split: SplitWriter(folder / DATA, split, files) for split in splits}

    def write(self, rows: Iterable[PendingRow], read_at_once: int) -> Composition:
        """Write all rows except those in finished files; returns the composition of all rows."""
        try:
            for row, medium in read_ahead(self._unfinished(rows), read_at_once):
                if self._add(row, medium):
                    self._composition.add(row.split, row.item)
            with self._disk_full_reported():
                for writer in self._writers.values():
                    writer.close()
        finally:
            for writer in self._writers.values():
                writer.discard()
        return self._composition

    def _unfinished(self, rows: Iterable[PendingRow]) -> Iterator[PendingRow]:
        """The rows that are not in finished files; those that are, the first ones of a split, are counted."""
        for row in rows:
            if row.split not in self._writers:
                raise ValueError(f"{row.item.item_id} is of split {row.split!r}, not of {', '.join(self._writers)}")
            if self._writers[row.split].skips(row.item):
                self._composition.add(row.split, row.item)
            else:
                yield row

    def _add(self, row: PendingRow, read: Callable[[], bytes]) -> bool:
        """Add a row; if its medium cannot be read, record a defect and return False."""
        medium: bytes | None = None
        with MediumGuard(partial(self._lose, row), "reading it again to write it"):
            medium = read()
        if medium is None:
            return False
        with self._disk_full_reported():
            self._writers[row.split].add(row.item, medium)
        return True

    def _lose(self, row: PendingRow, flaw: Flaw) -> None:
        item = row.item
        self._defects.append(Defect(flaw.kind, row.line, item.item_id, item.media_path, flaw.detail, loses_row=True))

    def _disk_full_reported(self) -> AbstractContextManager[None]:
        return disk_full_reported(self._out, self._remaining_bytes, self._discarded_bytes)

    def _remaining_bytes(self) -> int:
        writers = self._writers.values()
        written = sum(writer.finished_bytes for writer in writers)
        return max(self._remaining - written, sum(writer.open_bytes for writer in writers))

    def _discarded_bytes(self) -> int:
        return sum(writer.bytes_on_disk for writer in self._writers.values())


def read_ahead(rows: Iterable[PendingRow], at_once: int) -> Iterator[tuple[PendingRow, Callable[[], bytes]]]:
    """Yield the rows in order, each with a function that returns its medium; `at_once` media are read in threads."""
    if at_once <= 1:
        yield from ((row, row.read) for row in rows)
        return
    with ThreadPoolExecutor(at_once, "read-media") as threads:
        waiting: deque[tuple[PendingRow, Callable[[], bytes]]] = deque()
        try:
            for row in rows:
                waiting.append((row, threads.submit(row.read).result))
                if len(waiting) >= at_once:
                    yield waiting.popleft()
            yield from waiting
        finally:
            threads.shutdown(cancel_futures=True)


def _write_extra(folder: Path, name: str, content: str | bytes) -> None:
    if Path(name).name != name or name in (CARD, DEFECTS, MANIFEST, DATA):
        raise ValueError(f"{name!r} cannot be the name of an additional file in a shard folder")
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
