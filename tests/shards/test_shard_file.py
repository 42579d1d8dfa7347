"""Writing a shard file in a background thread, and reading items ahead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from data_pipeline.releases.check_on_workers import read_ahead
from data_pipeline.shards.shard_file import GROUPS_WAITING, ShardFile, ShardRow
from tests.support.shard_rows import rows


def groups(count: int, size: int) -> list[list[ShardRow]]:
    written = [ShardRow(row.item, row.read()) for row in rows(count * size)]
    return [written[start : start + size] for start in range(0, len(written), size)]


def test_row_groups_keep_their_rows_and_order(tmp_path: Path) -> None:
    file = ShardFile(tmp_path / "f.parquet")
    given = groups(5, 4)
    for group in given:
        file.write_group(group)
    file.close()
    written = parquet.ParquetFile(file.path)
    assert [written.metadata.row_group(n).num_rows for n in range(written.num_row_groups)] == [4] * 5
    ids = written.read(columns=["item_id"])["item_id"].to_pylist()
    assert ids == [row.item.item_id for group in given for row in group]


def test_media_are_stored_in_the_column_of_their_kind_and_null_in_the_other(tmp_path: Path) -> None:
    file = ShardFile(tmp_path / "f.parquet")
    (group,) = groups(1, 6)
    file.write_group(group)
    file.close()
    for row, stored in zip(group, parquet.read_table(file.path).to_pylist(), strict=True):
        kind = "video" if row.item.media_path.startswith("video") else "image"
        other = {"video": "image", "image": "video"}[kind]
        assert stored[kind] == {"bytes": row.medium, "path": row.item.media_path} and stored[other] is None


def test_a_group_that_cannot_be_written_raises_in_a_later_call_and_leaves_no_file(tmp_path: Path) -> None:
    file = ShardFile(tmp_path / "f.parquet")
    first, *others = groups(2 + GROUPS_WAITING, 3)
    file.write_group([row._replace(medium="no bytes") for row in first])  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        for group in others:
            file.write_group(group)
    file.discard()
    assert not any(tmp_path.iterdir())
    file = ShardFile(tmp_path / "f.parquet")
    file.write_group([row._replace(medium="no bytes") for row in first])  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        file.close()
    file.discard()
    assert not any(tmp_path.iterdir())


def test_one_item_is_read_ahead_and_exceptions_of_the_source_keep_their_position() -> None:
    asked_for_the_second = threading.Event()

    def source() -> Iterator[int]:
        yield 0
        asked_for_the_second.set()
        yield 1
        raise OSError("cut off")

    items = read_ahead(source())
    assert next(items) == 0 and asked_for_the_second.wait()
    assert next(items) == 1
    with pytest.raises(OSError, match="cut off"):
        next(items)
    assert list(read_ahead(iter(()))) == []
    assert list(read_ahead(iter(range(9)), ahead=4)) == list(range(9))


def test_reading_ahead_ends_when_the_iterator_is_closed() -> None:
    before = set(threading.enumerate())
    items = read_ahead(iter(range(1000)))
    assert next(items) == 0
    (thread,) = set(threading.enumerate()) - before
    items.close()  # type: ignore[attr-defined]
    assert not thread.is_alive()
