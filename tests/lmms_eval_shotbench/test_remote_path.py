"""Paths in remote storage behave as local ones, read ranges, and report failures of the storage in one line."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from lmms_eval_shotbench import remote_path
from lmms_eval_shotbench.remote_path import RemotePath, StorageFailed, location
from tests.support.memory_storage import empty_memory

CONTENT = random.Random(0).randbytes(1000)


@pytest.fixture
def folder() -> Iterator[RemotePath]:
    """A folder in memory that is empty before and after the test."""
    remote_path._block.cache_clear()
    yield RemotePath("memory://bucket/films")
    empty_memory()


def test_addresses_are_remote_and_everything_else_is_local() -> None:
    assert location("s3://bucket//films/") == RemotePath("s3://bucket/films")
    assert location("file:///films") == location("/films") == Path("/films")
    film = location("s3://bucket/films") / "a/heat #2.mp4"
    assert isinstance(film, RemotePath)
    assert (str(film), film.name, film.suffix) == ("s3://bucket/films/a/heat #2.mp4", "heat #2.mp4", ".mp4")
    assert str(film.with_name(".x")) == "s3://bucket/films/a/.x"
    assert [str(parent) for parent in film.parents] == ["s3://bucket/films/a", "s3://bucket/films", "s3://bucket"]
    with pytest.raises(ValueError, match="no folder around it"):
        RemotePath("s3://bucket").with_name(".x")


def test_files_are_written_listed_and_removed(folder: RemotePath) -> None:
    (folder / "b/heat.mp4").write_bytes(CONTENT)
    (folder / "a.mp4").write_bytes(b"1")
    assert (folder.is_dir(), folder.is_file(), (folder / "a.mp4").is_file()) == (True, False, True)
    assert {name: status.st_size for name, status in folder.files().items()} == {"a.mp4": 1, "b/heat.mp4": 1000}
    assert [path.name for path in folder.iterdir()] == ["a.mp4", "b"]
    (folder / "c.mp4").copy_from(folder / "a.mp4")
    (folder / "a.mp4").unlink()
    (folder / "a.mp4").unlink(missing_ok=True)
    assert list(folder.files()) == ["b/heat.mp4", "c.mp4"]
    folder.remove_tree()
    folder.remove_tree()
    assert not folder.exists() and not list(folder.iterdir())
    with pytest.raises(FileNotFoundError, match=r"there is no memory://bucket/films/a\.mp4"):
        (folder / "a.mp4").read_bytes()


def test_a_listing_answers_without_the_storage_and_is_not_sent_to_workers(folder: RemotePath) -> None:
    (folder / "b/heat.mp4").write_bytes(CONTENT)
    listed = folder.listed()
    folder.remove_tree()
    assert (listed / "b/heat.mp4").is_file() and (listed / "b/heat.mp4").stat().st_size == 1000
    assert not (listed / "b").is_file()
    assert not pickle.loads(pickle.dumps(listed / "b/heat.mp4")).is_file()


def test_ranges_are_read_in_blocks_once(folder: RemotePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_path, "BLOCK_BYTES", 64)
    (folder / "heat.mp4").write_bytes(CONTENT)
    read, ranges = RemotePath.read_range, list[tuple[int, int]]()

    def counted(self: RemotePath, start: int, end: int) -> bytes:
        ranges.append((start, end))
        return read(self, start, end)

    monkeypatch.setattr(RemotePath, "read_range", counted)
    with (folder / "heat.mp4").open("rb") as file:
        assert file.read(10) == CONTENT[:10]
        file.seek(-30, 2)
        assert file.read() == CONTENT[-30:]
        file.seek(100)
        assert (file.read(40), file.tell()) == (CONTENT[100:140], 140)
    with (folder / "heat.mp4").open("rb") as file:
        file.seek(70)
        assert file.read(10) == CONTENT[70:80]
    assert ranges == [(0, 64), (960, 1000), (64, 128), (128, 192)]


def test_a_replaced_file_is_not_read_from_old_blocks(folder: RemotePath) -> None:
    for content in (CONTENT, CONTENT[:500]):
        (folder / "heat.mp4").write_bytes(content)
        with (folder / "heat.mp4").open("rb") as file:
            assert file.read() == content


def test_failures_of_the_storage_have_one_line_and_a_next_step(
    folder: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("gone\nTraceback …")

    monkeypatch.setattr(fsspec.filesystem("memory").__class__, "cat_file", unreachable)
    with pytest.raises(StorageFailed) as failed:
        (folder / "heat.mp4").read_bytes()
    step = "once it is reachable, run the same command again to resume"
    assert str(failed.value) == f"memory://bucket/films/heat.mp4 cannot be read: gone; {step}"
    with pytest.raises(StorageFailed, match="Protocol not known: nosuch; give an address that fsspec knows"):
        RemotePath("nosuch://bucket/heat.mp4").read_bytes()
