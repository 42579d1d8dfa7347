"""The parquet files of one split: rows in, files of bounded size out, with row groups small enough to read alone.

Owns the sizes, the encoding of columns, and the skipping of rows that lie in finished files already. Files are a
function of their rows alone: a run that goes on after it was killed writes the same bytes as one that was not. When a
file counts as finished is in `finished_files.py`.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from data_pipeline.shards.finished_files import FinishedFile, FinishedFiles
from data_pipeline.shards.whole_folder import WriteRefused
from lmms_eval_shotbench.qa_item import COLUMNS, QAItem
from lmms_eval_shotbench.shards import MEDIA_COLUMNS, shard_features

if TYPE_CHECKING:
    import pyarrow.parquet as parquet

ROW_GROUP_ROWS = 64
ROW_GROUP_BYTES = 8_000_000  # of media; what a reader must take to get at one of them
FILE_BYTES = 400_000_000  # of media; the Hub shows and resumes files of this size well
WRITE_BUFFER = 1_000_000


class SplitWriter:
    """Writes one split. Media are left as they are: they are compressed already."""

    def __init__(self, folder: Path, split: str, finished: FinishedFiles) -> None:
        self._folder, self._split, self._finished = folder, split, finished
        self._to_skip, self._number = finished.of(split), 0
        self._schema = shard_features().arrow_schema
        self._stream: BinaryIO | None = None
        self._file: parquet.ParquetWriter | None = None
        self.finished_bytes = 0  # of media, by this run
        self._rows: list[dict[str, Any]] = []
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
        self._rows.append(item.to_row() | {MEDIA_COLUMNS[item.media_kind]: {"bytes": medium, "path": item.media_path}})
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
            self._open_file()  # and no row group: `datasets` fails on an empty one
        if self._file is not None:
            self._close_file()

    def discard(self) -> None:
        """Give up the unfinished file."""
        if self._file is not None and self._stream is not None:
            with suppress(OSError):  # a full disk does not take what is buffered either
                self._stream.close()
            self._file.is_open = False  # else it would write its footer when it is collected
            self._path.unlink(missing_ok=True)
        self._file = self._stream = None

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
        said = (item.item_id, item.dimension, item.question, item.options, item.answer, item.media_path, item.reasoning)
        self._items.update(repr(said).encode(errors="surrogatepass"))
        self._file_rows += 1

    def _write_group(self) -> None:
        import pyarrow

        table = pyarrow.Table.from_pylist(self._rows, schema=self._schema)
        file = self._file or self._open_file()
        file.write_table(table, row_group_size=ROW_GROUP_ROWS)
        self._file_bytes += self._group_bytes
        self._rows, self._group_bytes = [], 0

    def _open_file(self) -> parquet.ParquetWriter:
        import pyarrow.parquet as parquet

        small = [*COLUMNS, "options.list.element"]
        self._stream = self._path.open("wb", WRITE_BUFFER)
        self._file = parquet.ParquetWriter(
            self._stream,
            self._schema,
            compression=dict.fromkeys(small, "zstd"),  # columns that are not named stay uncompressed
            use_dictionary=small,
            write_statistics=list(COLUMNS),
        )
        return self._file

    def _close_file(self) -> None:
        assert self._file is not None and self._stream is not None, "a file is open"
        self._file.close()
        self._stream.close()
        self._file = self._stream = None
        done = FinishedFile(self._split, self._number, self._file_rows, self._items.hexdigest(), self._file_bytes)
        self._finished.finish(done)
        self.finished_bytes += self._file_bytes
        self._begin_file(self._number + 1)

    def _other_rows(self) -> str:
        return (
            f"the source no longer gives the rows of split {self._split!r} that an interrupted run has written; what "
            "that run left is removed now, so run the same command again to begin anew"
        )
