"""Writing shard folders: what a reader gets back, what stays behind when it fails, what is never overwritten."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import yaml
from PIL import Image

from data_pipeline import write_shards as module
from data_pipeline.dataset_card import About
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.whole_folder import WriteRefused
from data_pipeline.write_shards import write_shards
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.shards import MANIFEST, ShardFolder, file_sha256, read_questions
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE, MediaKind

ABOUT = About("Small", "print-1", "A test.", "Nowhere.", "By hand.", "apache-2.0", ("film",))
Row = tuple[QAItem, bytes]


def picture(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40 + number % 7, 30), (number % 256, 20, 90)).save(stream, "PNG")
    return stream.getvalue()


def row(number: int, kind: MediaKind = MediaKind.STILL) -> Row:
    dimension = SHOT_SIZE if kind is MediaKind.STILL else CAMERA_MOVEMENT
    options = tuple(term.name for term in dimension.terms[:4])
    path = f"image/{number}.png" if kind is MediaKind.STILL else f"video/a b ({number}).mp4"
    media = picture(number) if kind is MediaKind.STILL else b"clip" * (number + 1)
    item = QAItem(f"t-{number}", dimension.slug, dimension.question, options, "ABCD"[number % 4], kind, path)
    return replace(item, source="t", source_index=number, film_id="tt1", start_seconds=number / 2), media


def rows(count: int = 5) -> list[Row]:
    return [row(n, MediaKind.CLIP if n % 3 == 2 else MediaKind.STILL) for n in range(count)]


def test_what_is_read_back_is_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROW_GROUP_ROWS", 3)
    monkeypatch.setattr(module, "FILE_BYTES", 4_000)
    given = rows(100)
    write_shards({"test": iter(given)}, tmp_path / "out", ABOUT)
    names = sorted(path.name for path in (tmp_path / "out/data").iterdir())
    assert len(names) > 2
    assert names[1] == f"test-00001-of-{len(names):05d}.parquet"
    shards = ShardFolder(tmp_path / "out")
    assert list(shards.items()) == [item for item, _ in given]
    backwards = given[::-1]
    assert [shards.media(item.item_id) for item, _ in backwards] == [media for _, media in backwards]
    assert read_questions(tmp_path / "out") == [item for item, _ in given]


def test_row_groups_are_closed_by_rows_and_by_media_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards({"test": rows(150)}, tmp_path / "rows", ABOUT)
    assert group_rows(tmp_path / "rows") == [64, 64, 22]
    monkeypatch.setattr(module, "ROW_GROUP_BYTES", 1)
    write_shards({"test": rows(3)}, tmp_path / "bytes", ABOUT)
    assert group_rows(tmp_path / "bytes") == [1, 1, 1]


def group_rows(folder: Path) -> list[int]:
    files = [parquet.ParquetFile(path) for path in sorted((folder / "data").iterdir())]
    return [file.metadata.row_group(n).num_rows for file in files for n in range(file.num_row_groups)]


def test_media_columns_are_stored_uncompressed(tmp_path: Path) -> None:
    write_shards({"test": rows()}, tmp_path / "out", ABOUT)
    group = parquet.ParquetFile(next((tmp_path / "out/data").iterdir())).metadata.row_group(0)
    columns = {group.column(n).path_in_schema: group.column(n).compression for n in range(group.num_columns)}
    assert columns["image.bytes"] == columns["video.bytes"] == "UNCOMPRESSED"
    assert columns["question"] == "ZSTD"


def test_datasets_loads_the_folder_with_image_and_video_columns(tmp_path: Path) -> None:
    import datasets

    write_shards({"train": rows(3), "test": rows(8)}, tmp_path / "out", ABOUT)
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: part.num_rows for split, part in loaded.items()} == {"train": 3, "test": 8}
    assert isinstance(loaded["test"].features["image"], datasets.Image)
    assert isinstance(loaded["test"].features["video"], datasets.Video)
    assert loaded["test"].select_columns(["image"])[0]["image"].size == (40, 30)
    encoded = loaded["test"].cast_column("video", datasets.Video(decode=False))
    assert encoded[2]["video"] == {"bytes": rows()[2][1], "path": "video/a b (2).mp4"}
    streamed = datasets.load_dataset(str(tmp_path / "out"), split="test", streaming=True)
    assert isinstance(streamed.features["image"], datasets.Image)
    assert isinstance(streamed.features["video"], datasets.Video)
    first = next(iter(streamed.cast_column("video", datasets.Video(decode=False))))
    assert (first["item_id"], first["image"].size) == ("t-0", (40, 30))


def test_the_manifest_lists_every_other_file_with_its_checksum(tmp_path: Path) -> None:
    defect = Defect(DefectKind.MISSING_MEDIUM, 9, "8", "image/gone.jpg", "not in images.tar", loses_row=True)
    outcome = write_shards({"test": rows(6)}, tmp_path / "out", ABOUT, defects=[defect])
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != MANIFEST]
    assert manifest["files"] == {
        path.relative_to(tmp_path / "out").as_posix(): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in files
    }
    assert {"README.md", "defects.jsonl", "data/test-00000-of-00001.parquet"} == set(manifest["files"])
    assert manifest["source_fingerprint"] == "print-1"
    assert manifest["counts"] == outcome.counts == {"test": {SHOT_SIZE.slug: 4, CAMERA_MOVEMENT.slug: 2}}


def test_the_card_has_valid_yaml_and_tells_of_defects(tmp_path: Path) -> None:
    defects = [
        Defect(DefectKind.REPEATED_TERM, n, str(n), f"image/{n}.jpg", "twice", loses_row=False) for n in range(30)
    ]
    defects.append(Defect(DefectKind.EMPTY_FILE, 99, "98", "image/zero.jpg", "0 bytes", loses_row=True))
    write_shards({"test": rows(6)}, tmp_path / "out", ABOUT, defects=defects)
    _, header, body = (tmp_path / "out/README.md").read_text().split("---\n", 2)
    data = yaml.safe_load(header)
    assert data["license"] == "apache-2.0"
    assert data["configs"][0]["data_files"] == [{"split": "test", "path": "data/test-*.parquet"}]
    assert {"name": "video", "dtype": "video"} in data["dataset_info"]["features"]
    assert "repeated term: 30 (kept)" in body
    assert "image/zero.jpg" in body
    assert "image/29.jpg" not in body
    assert "| Camera Movement | clips | 2 |" in body


def failing(after: int, error: BaseException) -> Iterator[Row]:
    yield from rows(after)
    raise error


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_nothing_stays_behind_when_writing_breaks_off(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        write_shards({"test": failing(130, error)}, tmp_path / "new/deep/out", ABOUT)
    assert list(tmp_path.iterdir()) == []
    write_shards({"test": rows()}, tmp_path / "new/deep/out", ABOUT)
    assert [path.name for path in (tmp_path / "new/deep").iterdir()] == ["out"]


def test_the_same_source_is_not_written_twice(tmp_path: Path) -> None:
    assert not write_shards({"test": rows()}, tmp_path / "out", ABOUT).already_complete
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    again = write_shards({"test": failing(0, AssertionError("rows were read"))}, tmp_path / "out", ABOUT)
    assert again.already_complete
    assert again.counts == {"test": {SHOT_SIZE.slug: 4, CAMERA_MOVEMENT.slug: 1}}
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_another_source_needs_overwrite_and_is_swapped_in_complete(tmp_path: Path) -> None:
    write_shards({"test": rows(5)}, tmp_path / "out", ABOUT)
    other = replace(ABOUT, fingerprint="print-2")
    with pytest.raises(WriteRefused, match="--overwrite"):
        write_shards({"test": rows(7)}, tmp_path / "out", other)
    with pytest.raises(RuntimeError):
        write_shards({"test": failing(7, RuntimeError())}, tmp_path / "out", other, overwrite=True)
    assert len(read_questions(tmp_path / "out")) == 5
    write_shards({"test": rows(7)}, tmp_path / "out", other, overwrite=True)
    assert len(read_questions(tmp_path / "out")) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_damaged_shards_do_not_pass_as_complete(tmp_path: Path) -> None:
    write_shards({"test": rows()}, tmp_path / "out", ABOUT)
    next((tmp_path / "out/data").iterdir()).write_bytes(b"cut")
    with pytest.raises(WriteRefused, match="broken"):
        write_shards({"test": rows()}, tmp_path / "out", ABOUT)
    write_shards({"test": rows()}, tmp_path / "out", ABOUT, overwrite=True)
    assert len(read_questions(tmp_path / "out")) == 5


def test_a_folder_with_anything_else_in_it_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/diary.txt").write_text("dear")
    with pytest.raises(WriteRefused, match=r"diary\.txt"):
        write_shards({"test": rows()}, tmp_path / "home", ABOUT, overwrite=True)
    write_shards({"test": rows()}, tmp_path / "out", ABOUT)
    (tmp_path / "out/data/mine.csv").write_text("1")
    with pytest.raises(WriteRefused, match=r"mine\.csv"):
        write_shards({"test": rows()}, tmp_path / "out", ABOUT, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteRefused, match="no folder"):
        write_shards({"test": rows()}, tmp_path / "file", ABOUT, overwrite=True)
    assert (tmp_path / "home/diary.txt").read_text() == "dear"


def test_an_empty_folder_and_a_linked_one_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "disk/empty").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk/empty")
    write_shards({"test": rows()}, tmp_path / "link", ABOUT)
    assert (tmp_path / "link").is_symlink()
    assert len(read_questions(tmp_path / "disk/empty")) == 5


def test_no_row_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WriteRefused, match="no question"):
        write_shards({"test": []}, tmp_path / "out", ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in (f".out.partial-{ended.pid}", f".out.partial-{os.getppid()}", f".other.partial-{ended.pid}"):
        (tmp_path / name / "data").mkdir(parents=True)
    write_shards({"test": rows()}, tmp_path / "out", ABOUT)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"out", f".out.partial-{os.getppid()}", f".other.partial-{ended.pid}"}


def test_shards_set_aside_by_a_process_that_died_are_put_back(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_shards({"test": rows(5)}, tmp_path / "out", ABOUT)
    (tmp_path / "out").rename(tmp_path / f".out.replaced-{ended.pid}")
    assert write_shards({"test": rows(5)}, tmp_path / "out", ABOUT).already_complete
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert len(read_questions(tmp_path / "out")) == 5


def test_two_writers_of_one_folder_do_not_mix(tmp_path: Path) -> None:
    def rows_while_another_finishes() -> Iterator[Row]:
        yield from rows(2)
        (tmp_path / "out").mkdir()
        (tmp_path / "out/theirs").write_text("first")

    with pytest.raises(WriteRefused, match="came into use"):
        write_shards({"test": rows_while_another_finishes()}, tmp_path / "out", ABOUT)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "theirs"]
