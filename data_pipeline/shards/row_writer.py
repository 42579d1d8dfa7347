"""Read the media of rows, and write each row to its split; a row whose medium cannot be read is lost, with a defect.

Rows are consumed one at a time, or media are read ahead in threads; at most a few row groups, and the media that are
read ahead, are in memory. One split is written in `split_writer.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from data_pipeline.defects import Defect, Flaw
from data_pipeline.medium_guard import MediumGuard
from data_pipeline.shards.composition import Composition
from data_pipeline.shards.finished_files import DATA, ShardFiles
from data_pipeline.shards.full_disk import disk_full_reported
from data_pipeline.shards.split_writer import SplitWriter
from lmms_eval_shotbench.qa_item import QAItem


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


class RowWriter:
    """Writes rows to their splits, and counts bytes for messages about a full disk."""

    def __init__(
        self,
        out: Path,
        folder: Path,
        splits: Sequence[str],
        files: ShardFiles,
        remaining: int,
        defects: list[Defect],
    ) -> None:
        """Open a writer for each split.

        Args:
            out: Path on the disk that may become full.
            folder: Draft of the shard folder.
            splits: Names of the splits.
            files: Files that are finished already; their rows are skipped.
            remaining: Expected bytes of media that are yet to be written; 0 if unknown.
            defects: Receives the rows whose media cannot be read.
        """
        self._out, self._remaining, self._composition = out, remaining, Composition(splits)
        self._defects = defects
        self._writers = {split: SplitWriter(folder / DATA, split, files) for split in splits}

    def write(self, rows: Iterable[PendingRow], read_at_once: int) -> Composition:
        """Write all rows except those in finished files; returns the composition of all rows."""
        try:
            for row, medium in read_media_ahead(self._unfinished(rows), read_at_once):
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


def read_media_ahead(rows: Iterable[PendingRow], at_once: int) -> Iterator[tuple[PendingRow, Callable[[], bytes]]]:
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
