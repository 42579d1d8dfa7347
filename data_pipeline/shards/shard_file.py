"""Writer of one parquet file, row group by row group.

Owns the encoding of columns and the background thread: it writes row groups while the caller collects the next ones,
and starts writeback to the disk after each. Media are passed to Parquet without a copy, one array per medium, and are
stored uncompressed, since they are compressed already. The bytes written depend on the rows only.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lmms_eval_shotbench.qa_item import COLUMNS, QAItem
from lmms_eval_shotbench.questions.shards import MEDIA_COLUMNS, shard_features
from lmms_eval_shotbench.vocabulary import MediaKind

if TYPE_CHECKING:
    import pyarrow

GROUPS_WAITING = 3  # row groups queued for writing, so that a short stall of the disk does not block the caller


class ShardRow(NamedTuple):
    """A question and its medium's encoded bytes."""

    item: QAItem
    medium: bytes


class ShardFile:
    """A Parquet file being written, until `close` or `discard`; a later call raises the error of a failed write."""

    def __init__(self, path: Path) -> None:
        import pyarrow
        import pyarrow.parquet as parquet

        self.path = path
        self._schema = shard_features().arrow_schema
        self._stream = pyarrow.OSFile(str(path), "wb")
        small = [*COLUMNS, "options.list.element"]
        self._parquet = parquet.ParquetWriter(
            self._stream,
            self._schema,
            compression=dict.fromkeys(small, "zstd"),  # other columns stay uncompressed
            use_dictionary=small,
            write_statistics=list(COLUMNS),
        )
        self._disk, self._sent = os.open(path, os.O_RDONLY), 0
        self._writing = ThreadPoolExecutor(1, "write-shards")
        self._pending: deque[Future[None]] = deque()

    def write_group(self, rows: Sequence[ShardRow]) -> None:
        """Queue a row group for writing."""
        self._wait(GROUPS_WAITING)
        self._pending.append(self._writing.submit(self._write, rows))

    def close(self) -> None:
        """Write the queued row groups and the footer."""
        self._wait()
        self._parquet.close()
        self._stream.close()
        self._end()

    def discard(self) -> None:
        """Stop writing and remove the file."""
        self._end()
        with suppress(OSError):  # flushing fails on a full disk
            self._stream.close()
        self._parquet.is_open = False  # else it would write its footer when garbage-collected
        self.path.unlink(missing_ok=True)

    def _write(self, rows: Sequence[ShardRow]) -> None:
        self._parquet.write_table(_arrow_table(rows, self._schema), row_group_size=len(rows))
        self._start_writeback()

    def _start_writeback(self) -> None:
        """Make the kernel start writing new pages to the disk, since one large writeback at the end would block."""
        end = self._stream.tell()
        if hasattr(os, "posix_fadvise"):  # not on macOS
            with suppress(OSError):  # optional: some file systems do not support it
                os.posix_fadvise(self._disk, self._sent, end - self._sent, os.POSIX_FADV_DONTNEED)
        self._sent = end

    def _end(self) -> None:
        self._writing.shutdown()
        os.close(self._disk)

    def _wait(self, left: int = 0) -> None:
        """Wait until at most `left` row groups are queued."""
        while len(self._pending) > left:
            self._pending.popleft().result()


def _arrow_table(rows: Sequence[ShardRow], schema: pyarrow.Schema) -> pyarrow.Table:
    import pyarrow

    texts = [row.item.to_row() for row in rows]
    columns = [pyarrow.array([text[name] for text in texts], schema.field(name).type) for name in COLUMNS]
    media = [
        pyarrow.chunked_array([_media_cell(row, kind, schema.field(name).type) for row in rows])
        for kind, name in MEDIA_COLUMNS.items()
    ]
    return pyarrow.Table.from_arrays([*columns, *media], schema=schema)


def _media_cell(row: ShardRow, kind: MediaKind, column: pyarrow.StructType) -> pyarrow.StructArray:
    """A row's {bytes, path} in the media column of `kind`, without copying the bytes; null if it is of another kind."""
    import pyarrow

    if row.item.media_kind is not kind:
        return pyarrow.nulls(1, column)
    ends = pyarrow.py_buffer(struct.pack("=2i", 0, len(row.medium)))
    encoded = pyarrow.Array.from_buffers(pyarrow.binary(), 1, [None, ends, pyarrow.py_buffer(row.medium)])
    return pyarrow.StructArray.from_arrays([encoded, pyarrow.array([row.item.media_path])], fields=list(column))
