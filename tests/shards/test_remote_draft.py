"""Shards written to remote storage are those of a local disk, complete or absent, and resume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from data_pipeline.shards import split_writer
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.push_result import PushRefused
from data_pipeline.shards.push_to_url import require_free_target
from data_pipeline.shards.row_writer import PendingRow, read_media_ahead
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.questions.shards import MANIFEST, DatasetNotFound, ShardFolder, locate_shards
from lmms_eval_shotbench.remote_path import RemotePath, StorageFailed
from tests.support.memory_storage import empty_memory
from tests.support.shard_rows import ABOUT, failing, picture, rows

SPLITS = ["dev", "test"]


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> Iterator[RemotePath]:
    """An address in memory; files are small, so that there are several."""
    monkeypatch.setattr(split_writer, "ROW_GROUP_ROWS", 4)
    monkeypatch.setattr(split_writer, "FILE_BYTES", 500)
    yield RemotePath("memory://bucket/shards")
    empty_memory()


def written(out: RemotePath) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in out.files()}


def local(folder: Path, source: list[PendingRow]) -> dict[str, bytes]:
    write_shards(source, folder, ABOUT, splits=SPLITS, extra={"audit.json": "{}"})
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("at_once", [1, 3])
def test_the_files_are_those_of_a_local_folder(out: RemotePath, tmp_path: Path, at_once: int) -> None:
    source = [*rows(20), *rows(6, "dev")]
    done = write_shards(source, out, ABOUT, splits=SPLITS, extra={"audit.json": "{}"}, read_at_once=at_once)
    assert written(out) == local(tmp_path / "shards", source)
    assert sum(name.startswith("data/test-") for name in out.files()) > 2
    assert [path.name for path in out.parent.iterdir()] == ["shards"]
    assert not done.already_complete
    assert write_shards(source, out, ABOUT, splits=SPLITS).already_complete


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), StorageFailed("gone")])
def test_an_interrupted_run_resumes_with_the_same_files(
    out: RemotePath, tmp_path: Path, failure: BaseException
) -> None:
    with pytest.raises(type(failure)):
        write_shards(failing(18, failure), out, ABOUT, splits=SPLITS)
    assert not out.exists()
    finished = set((out.parent / ".shards.partial").files())
    assert "test-00000.parquet" in finished
    read = list[int]()

    def counted(number: int, medium: bytes) -> bytes:
        read.append(number)
        return medium

    source = [one._replace(read=lambda n=n, one=one: counted(n, one.read())) for n, one in enumerate(rows(20))]
    write_shards(source, out, ABOUT, splits=SPLITS, extra={"audit.json": "{}"}, read_at_once=4)
    assert written(out) == local(tmp_path / "shards", rows(20))
    assert 0 < len(read) < 20 and set(read) == set(range(20 - len(read), 20))
    assert [path.name for path in out.parent.iterdir()] == ["shards"]


def test_a_run_that_fails_while_it_names_its_files_leaves_no_shards_and_resumes(
    out: RemotePath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(rows(3), out, replace(ABOUT, fingerprint="print-2"), splits=["test"])
    copy, copied = RemotePath.copy_from, list[str]()

    def until_the_third(self: RemotePath, source: RemotePath) -> None:
        copied.append(self.name)
        if len(copied) == 3:
            raise StorageFailed("gone")
        copy(self, source)

    with monkeypatch.context() as patch:
        patch.setattr(RemotePath, "copy_from", until_the_third)
        with pytest.raises(StorageFailed, match="gone"):
            write_shards(rows(20), out, ABOUT, splits=SPLITS, extra={"audit.json": "{}"}, overwrite=True)
    assert MANIFEST not in out.files()
    with pytest.raises(DatasetNotFound, match="no complete shards"):
        locate_shards(str(out))
    write_shards(rows(20), out, ABOUT, splits=SPLITS, extra={"audit.json": "{}"})
    assert written(out) == local(tmp_path / "shards", rows(20))


def test_a_target_that_is_changed_during_a_run_costs_no_finished_file(out: RemotePath, tmp_path: Path) -> None:
    def source() -> Iterator[PendingRow]:
        yield from rows(20)
        (out / "diary.txt").write_bytes(b"dear")

    with pytest.raises(PushRefused, match=r"diary\.txt"):
        write_shards(source(), out, ABOUT, splits=SPLITS, extra={"audit.json": "{}"})
    (out / "diary.txt").unlink()

    def unreadable() -> bytes:
        raise AssertionError("it is in a finished file")

    again = [row._replace(read=unreadable) for row in rows(20)]
    write_shards(again, out, ABOUT, splits=SPLITS, extra={"audit.json": "{}"})
    assert written(out) == local(tmp_path / "shards", rows(20))


def test_other_shards_are_replaced_only_on_request_and_anything_else_never(out: RemotePath) -> None:
    write_shards(rows(20), out, replace(ABOUT, fingerprint="print-2"), splits=["test"])
    before = written(out)
    for refusing in (
        lambda: require_free_target(out, overwrite=False),
        lambda: write_shards(rows(3), out, ABOUT, splits=["test"]),
    ):
        with pytest.raises(PushRefused, match="--overwrite"):
            refusing()
    assert written(out) == before
    write_shards(rows(3), out, ABOUT, splits=["test"], overwrite=True)
    assert [name for name in out.files() if name.startswith("data")] == ["data/test-00000-of-00001.parquet"]
    (out / "diary.txt").write_bytes(b"dear")
    with pytest.raises(PushRefused, match=r"diary\.txt"):
        require_free_target(out, overwrite=True)


def test_without_a_question_nothing_is_left(out: RemotePath) -> None:
    with pytest.raises(WriteRefused, match="no question is left"):
        write_shards([], out, ABOUT, splits=SPLITS)
    assert not list(out.parent.iterdir())


def test_shards_at_an_address_are_copied_to_the_cache_once(
    out: RemotePath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOTBENCH_CACHE", str(tmp_path))
    write_shards(rows(20), out, ABOUT, splits=["test"])
    folder = locate_shards(str(out))
    shards = ShardFolder(folder)
    assert [item.item_id for item in shards.items()] == [row.item.item_id for row in rows(20)]
    assert shards.media("t-3") == picture(3)
    times = {path: path.stat().st_mtime_ns for path in (folder / "data").iterdir()}
    assert locate_shards(str(out)) == folder
    assert {path: path.stat().st_mtime_ns for path in (folder / "data").iterdir()} == times
    write_shards(rows(3), out, replace(ABOUT, fingerprint="print-2"), splits=["test"], overwrite=True)
    assert len(list(ShardFolder(locate_shards(str(out))).items())) == 3
    with pytest.raises(DatasetNotFound, match="there is no memory://bucket/nothing"):
        locate_shards("memory://bucket/nothing")


def test_a_shard_file_of_another_size_than_listed_is_refused(
    out: RemotePath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOTBENCH_CACHE", str(tmp_path))
    write_shards(rows(3), out, ABOUT, splits=["test"])
    (file,) = (out / "data").iterdir()
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with pytest.raises(DatasetNotFound, match=f"{len(content) - 1} bytes instead of {len(content)}"):
        locate_shards(str(out))
    file.write_bytes(content)
    assert len(list(ShardFolder(locate_shards(str(out))).items())) == 3


def test_media_that_are_read_ahead_come_in_order_and_bounded() -> None:
    taken = list[int]()

    def source() -> Iterator[PendingRow]:
        for number, one in enumerate(rows(10)):
            taken.append(number)
            yield one

    for number, (row, read) in enumerate(read_media_ahead(source(), 3)):
        assert row.item.item_id == f"t-{number}" and read() == rows(10)[number].read()
        assert len(taken) <= number + 3
