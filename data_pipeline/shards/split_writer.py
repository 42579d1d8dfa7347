"""Writer of one split: rows in, parquet files of bounded size out, with row groups small enough for random access.

Owns the sizes and the skipping of rows that are already in finished files. Files depend on their rows only: a resumed
run writes the same bytes as an uninterrupted one. One file is written in `shard_file.py`; finishing a file is in
`finished_files.py`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.finished_files import FinishedFile, ShardFiles
from data_pipeline.shards.shard_file import ShardFile, ShardRow
from lmms_eval_shotbench.qa_item import QAItem

ROW_GROUP_ROWS = 64
ROW_GROUP_BYTES = 8_000_000  # of media; a reader must load a complete row group to get one medium
FILE_BYTES = 400_000_000  # of media; a size that the Hub previews and resumes well


class SplitWriter:
    """Writes one split."""

    def __init__(self, folder: Path, split: str, finished: ShardFiles) -> None:
        self._folder, self._split, self._finished = folder, split, finished
        self._to_skip, self._number = finished.of(split), 0
        self._file: ShardFile | None = None
        self.finished_bytes = 0  # of media, by this run
        self._rows: list[ShardRow] = []
        self._begin_file()

    @property
    def open_bytes(self) -> int:
        """Bytes of media that are not in a finished file yet."""
        return self._file_bytes + self._group_bytes

    def skips(self, item: QAItem) -> bool:
        """Whether the next row is already in a finished file; raises `WriteRefused` if that file has other rows."""
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
        """Add a row; writes the row group when it is full, and starts a new file when the file is full."""
        self._count(item)
        self._rows.append(ShardRow(item, medium))
        self._group_bytes += len(medium)
        if len(self._rows) >= ROW_GROUP_ROWS or self._group_bytes >= ROW_GROUP_BYTES:
            self._write_group()
            if self._file_bytes >= FILE_BYTES:
                self._close_file()

    def close(self) -> None:
        """Write the remaining rows; a split without rows still gets a file, so that it can be read as empty."""
        if self._number < len(self._to_skip):
            if self._file_rows or self._to_skip[self._number].rows:
                raise WriteRefused(self._other_rows())
            return  # the file of a split without rows is finished
        if self._rows:
            self._write_group()
        elif not self._number and self._file is None:
            self._file = ShardFile(self._path)  # without a row group, since `datasets` fails on an empty one
        if self._file is not None:
            self._close_file()

    def discard(self) -> None:
        """Remove the unfinished file."""
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
        fields = (item.item_id, item.dimension, item.question, *item.options, item.answer, item.media_path)
        self._items.update("\0".join((*fields, item.reasoning, "\n")).encode(errors="surrogatepass"))
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
            f"the source no longer gives the rows of split {self._split!r} that an interrupted run wrote; its files "
            "are removed, so run the same command again to start over"
        )
