"""One parquet file in the making: rows in, row group by row group, and its checksum at the end.

Owns the encoding of columns, and what goes on beside the caller: a thread writes one row group while the next one is
gathered, another reads what was written, still in memory, for the checksum. Media are handed to Parquet where they lie,
each as an array of its own, and are left as they are: they are compressed already. What is written is a function of
the rows alone.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lmms_eval_shotbench.qa_item import COLUMNS, QAItem
from lmms_eval_shotbench.shards import MEDIA_COLUMNS, shard_features
from lmms_eval_shotbench.vocabulary import MediaKind

if TYPE_CHECKING:
    import pyarrow

READ_BYTES = 1 << 21  # at a time, for the checksum


class Row(NamedTuple):
    """A question and its medium's encoded bytes."""

    item: QAItem
    medium: bytes


class ShardFile:
    """A parquet file that rows are added to until `close` or `discard`; a failed write raises in the call after it."""

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
            compression=dict.fromkeys(small, "zstd"),  # columns that are not named stay uncompressed
            use_dictionary=small,
            write_statistics=list(COLUMNS),
        )
        self._checksum = _Checksum(path)
        self._writing, self._summing = ThreadPoolExecutor(1, "write-shards"), ThreadPoolExecutor(1, "sum-shards")
        self._pending: list[Future[None]] = []

    def write_group(self, rows: Sequence[Row]) -> None:
        """Have a row group written, once the one before it is."""
        self._wait()
        self._pending.append(self._writing.submit(self._write, rows))

    def close(self) -> str:
        """Write what is left; returns the file's SHA-256."""
        self._wait()
        self._parquet.close()
        self._stream.close()
        self._end_threads()
        self._checksum.go_on()
        return self._checksum.close()

    def discard(self) -> None:
        """Give up the file and remove it."""
        self._end_threads()
        self._checksum.close()
        with suppress(OSError):  # a full disk does not take what is left either
            self._stream.close()
        self._parquet.is_open = False  # else it would write its footer when it is collected
        self.path.unlink(missing_ok=True)

    def _write(self, rows: Sequence[Row]) -> None:
        self._parquet.write_table(_table(rows, self._schema), row_group_size=len(rows))
        self._summing.submit(self._checksum.go_on)

    def _wait(self) -> None:
        while self._pending:
            self._pending.pop().result()

    def _end_threads(self) -> None:
        self._writing.shutdown()
        self._summing.shutdown()


class _Checksum:
    """SHA-256 of a file that is being written, behind its writer."""

    def __init__(self, path: Path) -> None:
        self._stream, self._sum, self._room = path.open("rb", 0), hashlib.sha256(), bytearray(READ_BYTES)

    def go_on(self) -> None:
        """Take in what was written since."""
        while count := self._stream.readinto(self._room):
            self._sum.update(memoryview(self._room)[:count])

    def close(self) -> str:
        """What it has come to."""
        self._stream.close()
        return self._sum.hexdigest()


def _table(rows: Sequence[Row], schema: pyarrow.Schema) -> pyarrow.Table:
    import pyarrow

    texts = [row.item.to_row() for row in rows]
    columns = [pyarrow.array([text[name] for text in texts], schema.field(name).type) for name in COLUMNS]
    media = [
        pyarrow.chunked_array([_cell(row, kind, schema.field(name).type) for row in rows])
        for kind, name in MEDIA_COLUMNS.items()
    ]
    return pyarrow.Table.from_arrays([*columns, *media], schema=schema)


def _cell(row: Row, kind: MediaKind, column: pyarrow.StructType) -> pyarrow.StructArray:
    """A row's {bytes, path} in the column of a kind of medium, without a copy of the bytes; null in the other one."""
    import pyarrow

    if row.item.media_kind is not kind:
        return pyarrow.nulls(1, column)
    ends = pyarrow.py_buffer(struct.pack("=2i", 0, len(row.medium)))
    encoded = pyarrow.Array.from_buffers(pyarrow.binary(), 1, [None, ends, pyarrow.py_buffer(row.medium)])
    return pyarrow.StructArray.from_arrays([encoded, pyarrow.array([row.item.media_path])], fields=list(column))
