"""The parquet files of one split: rows in, files of bounded size out, with row groups small enough to read alone.

Owns the sizes, and the skipping of rows that lie in finished files already. Files are a function of their rows alone: a
run that goes on after it was killed writes the same bytes as one that was not. How a file is written is in
`shard_file.py`, when it counts as finished in `finished_files.py`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from data_pipeline.shards.finished_files import FinishedFile, FinishedFiles
from data_pipeline.shards.shard_file import ShardFile, ShardRow
from data_pipeline.shards.whole_folder import WriteRefused
from lmms_eval_shotbench.qa_item import QAItem

ROW_GROUP_ROWS = 64
ROW_GROUP_BYTES = 8_000_000  # of media; what a reader must take to get at one of them
FILE_BYTES = 400_000_000  # of media; the Hub shows and resumes files of this size well


class SplitWriter:
    """Writes one split."""

    def __init__(self, folder: Path, split: str, finished: FinishedFiles) -> None:
        self._folder, self._split, self._finished = folder, split, finished
        self._to_skip, self._number = finished.of(split), 0
        self._file: ShardFile | None = None
        self.finished_bytes = 0  # of media, by this run
        self._rows: list[ShardRow] = []
        self._begin_file()

    @property
    def open_bytes(self) -> int:
        """Media that are in no finished file yet."""
        return self._file_bytes + self._group_bytes

    def skips(self, item: QAItem) -> bool:
        """Whether this row, the next one, lies in a finished file; raises `WriteRefused` if another one does."""
        if self._number >= len(self._to_skip):
            return False
        self._count(item)
        file = self._to_skip[self._number]
        if self._file_rows == file.rows:
            if self._items.hexdigest() != file.items:
                raise WriteRefused(self._other_rows())
            self._begin_file(self._number + 1)
        return True

    def add(self, item: QAItem, medium: bytes) -> None:
        """Take one row; write the row group it fills, and begin a new file where one is full."""
        self._count(item)
        self._rows.append(ShardRow(item, medium))
        self._group_bytes += len(medium)
        if len(self._rows) >= ROW_GROUP_ROWS or self._group_bytes >= ROW_GROUP_BYTES:
            self._write_group()
            if self._file_bytes >= FILE_BYTES:
                self._close_file()

    def close(self) -> None:
        """Write what is left; a split without rows still gets its file, so that it can be read as empty."""
        if self._number < len(self._to_skip):
            raise WriteRefused(self._other_rows())
        if self._rows:
            self._write_group()
        elif not self._number and self._file is None:
            self._file = ShardFile(self._path)  # and no row group: `datasets` fails on an empty one
        if self._file is not None:
            self._close_file()

    def discard(self) -> None:
        """Give up the unfinished file."""
        if self._file is not None:
            self._file.discard()
        self._file = None

    @property
    def bytes_on_disk(self) -> int:
        """Size of the unfinished file."""
        return self._path.stat().st_size if self._file is not None else 0

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._split}-{self._number:05d}.parquet"

    def _begin_file(self, number: int = 0) -> None:
        self._number, self._file_rows, self._items = number, 0, hashlib.sha256()
        self._file_bytes = self._group_bytes = 0

    def _count(self, item: QAItem) -> None:
        said = (item.item_id, item.dimension, item.question, *item.options, item.answer, item.media_path)
        self._items.update("\0".join((*said, item.reasoning, "\n")).encode(errors="surrogatepass"))
        self._file_rows += 1

    def _write_group(self) -> None:
        self._file = self._file or ShardFile(self._path)
        self._file.write_group(self._rows)
        self._file_bytes += self._group_bytes
        self._rows, self._group_bytes = [], 0

    def _close_file(self) -> None:
        assert self._file is not None, "a file is open"
        self._file.close()
        self._file = None
        items = self._items.hexdigest()
        self._finished.finish(FinishedFile(self._split, self._number, self._file_rows, items, self._file_bytes))
        self.finished_bytes += self._file_bytes
        self._begin_file(self._number + 1)

    def _other_rows(self) -> str:
        return (
            f"the source no longer gives the rows of split {self._split!r} that an interrupted run has written; what "
            "that run left is removed now, so run the same command again to begin anew"
        )
