"""Writing shard folders: round trip, cleanup after failures, protection of existing files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from blake3 import blake3

from data_pipeline.defects import Defect, DefectKind
from data_pipeline.shards import split_writer
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.questions.shards import MANIFEST, ShardFolder
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE
from tests.support.shard_rows import ABOUT, failing, row, rows


def test_rows_read_back_equal_the_rows_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_writer, "ROW_GROUP_ROWS", 3)
    monkeypatch.setattr(split_writer, "FILE_BYTES", 4_000)
    given = rows(100)
    write_shards(iter(given), tmp_path / "out", ABOUT, splits=["test"])
    names = sorted(path.name for path in (tmp_path / "out/data").iterdir())
    assert len(names) > 2
    assert names[1] == f"test-00001-of-{len(names):05d}.parquet"
    shards = ShardFolder(tmp_path / "out")
    assert list(shards.items()) == [row.item for row in given]
    backwards = given[::-1]
    assert [shards.media(row.item.item_id) for row in backwards] == [row.read() for row in backwards]
    assert read_questions(tmp_path / "out") == [row.item for row in given]


def test_row_groups_are_closed_by_rows_and_by_media_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(rows(150), tmp_path / "rows", ABOUT, splits=["test"])
    assert group_rows(tmp_path / "rows") == [64, 64, 22]
    monkeypatch.setattr(split_writer, "ROW_GROUP_BYTES", 1)
    write_shards(rows(3), tmp_path / "bytes", ABOUT, splits=["test"])
    assert group_rows(tmp_path / "bytes") == [1, 1, 1]


def group_rows(folder: Path) -> list[int]:
    files = [parquet.ParquetFile(path) for path in sorted((folder / "data").iterdir())]
    return [file.metadata.row_group(n).num_rows for file in files for n in range(file.num_row_groups)]


def test_media_columns_are_stored_uncompressed(tmp_path: Path) -> None:
    write_shards(rows(), tmp_path / "out", ABOUT, splits=["test"])
    group = parquet.ParquetFile(next((tmp_path / "out/data").iterdir())).metadata.row_group(0)
    columns = {group.column(n).path_in_schema: group.column(n).compression for n in range(group.num_columns)}
    assert columns["image.bytes"] == columns["video.bytes"] == "UNCOMPRESSED"
    assert columns["question"] == "ZSTD"


def test_datasets_loads_the_folder_with_image_and_video_columns(tmp_path: Path) -> None:
    import datasets

    write_shards([*rows(3, "sft"), *rows(8)], tmp_path / "out", ABOUT, splits=["test", "dev", "sft"])
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: part.num_rows for split, part in loaded.items()} == {"sft": 3, "test": 8}
    assert isinstance(loaded["test"].features["image"], datasets.Image)
    assert isinstance(loaded["test"].features["video"], datasets.Video)
    assert loaded["test"].select_columns(["image"])[0]["image"].size == (40, 30)
    encoded = loaded["test"].cast_column("video", datasets.Video(decode=False))
    assert encoded[2]["video"] == {"bytes": rows()[2].read(), "path": "video/a b (2).mp4"}
    streamed = datasets.load_dataset(str(tmp_path / "out"), split="test", streaming=True)
    assert isinstance(streamed.features["image"], datasets.Image)
    assert isinstance(streamed.features["video"], datasets.Video)
    first = next(iter(streamed.cast_column("video", datasets.Video(decode=False))))
    assert (first["item_id"], first["image"].size) == ("t-0", (40, 30))
    assert list(ShardFolder(tmp_path / "out", "dev").items()) == []


def test_rows_of_several_splits_may_be_mixed(tmp_path: Path) -> None:
    mixed = [row(n, split=("dev", "sft", "sft")[n % 3]) for n in range(200)]
    write_shards(mixed, tmp_path / "out", ABOUT, splits=["sft", "dev"])
    for split in ("sft", "dev"):
        shards = ShardFolder(tmp_path / "out", split)
        assert list(shards.items()) == [one.item for one in mixed if one.split == split]
        assert all(shards.media(one.item.item_id) == one.read() for one in mixed if one.split == split)


def test_unknown_splits_and_invalid_split_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="t-0 is of split 'test', not of sft"):
        write_shards(rows(), tmp_path / "out", ABOUT, splits=["sft"])
    with pytest.raises(ValueError, match="not a valid name for a split"):
        write_shards(rows(), tmp_path / "out", ABOUT, splits=["../test"])
    assert list(tmp_path.iterdir()) == []


def test_additional_files_are_in_the_folder_and_are_replaced_with_it(tmp_path: Path) -> None:
    write_shards(rows(), tmp_path / "out", ABOUT, splits=["test"], extra={"audit.json": "{}", "picture.bin": b"\0"})
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert manifest["files"]["audit.json"]["bytes"] == 2
    write_shards(rows(3), tmp_path / "out", ABOUT, splits=["test"], overwrite=True)
    assert not (tmp_path / "out/audit.json").exists()
    for name in ("README.md", "../x", "data"):
        with pytest.raises(ValueError, match="additional file"):
            write_shards(rows(), tmp_path / "other", ABOUT, splits=["test"], extra={name: ""})


def test_the_manifest_lists_every_other_file_with_its_checksum(tmp_path: Path) -> None:
    defect = Defect(DefectKind.MISSING_MEDIUM, 9, "8", "image/gone.jpg", "not in images.tar", loses_row=True)
    outcome = write_shards(rows(6), tmp_path / "out", ABOUT, splits=["test"], defects=[defect])
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != MANIFEST]
    contents = {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in files}
    assert manifest["files"] == {
        name: {"bytes": len(content), "blake3": blake3(content).hexdigest()} for name, content in contents.items()
    }
    assert {"README.md", "defects.jsonl", "data/test-00000-of-00001.parquet"} == set(manifest["files"])
    assert manifest["source_fingerprint"] == "print-1"
    assert manifest["counts"] == outcome.counts == {"test": {SHOT_SIZE.slug: 4, CAMERA_MOVEMENT.slug: 2}}


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        write_shards(failing(130, error), tmp_path / "new/deep/out", ABOUT, splits=["test"])
    assert list(tmp_path.iterdir()) == []
    write_shards(rows(), tmp_path / "new/deep/out", ABOUT, splits=["test"])
    assert [path.name for path in (tmp_path / "new/deep").iterdir()] == ["out"]


def test_the_same_source_is_not_written_twice(tmp_path: Path) -> None:
    assert not write_shards(rows(), tmp_path / "out", ABOUT, splits=["test"]).already_complete
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    again = write_shards(failing(0, AssertionError("rows were read")), tmp_path / "out", ABOUT, splits=["test"])
    assert again.already_complete
    assert again.counts == {"test": {SHOT_SIZE.slug: 4, CAMERA_MOVEMENT.slug: 1}}
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_another_source_needs_overwrite_and_is_replaced_atomically(tmp_path: Path) -> None:
    write_shards(rows(5), tmp_path / "out", ABOUT, splits=["test"])
    other = replace(ABOUT, fingerprint="print-2")
    with pytest.raises(WriteRefused, match="--overwrite"):
        write_shards(rows(7), tmp_path / "out", other, splits=["test"])
    with pytest.raises(RuntimeError):
        write_shards(failing(7, RuntimeError()), tmp_path / "out", other, splits=["test"], overwrite=True)
    assert len(read_questions(tmp_path / "out")) == 5
    write_shards(rows(7), tmp_path / "out", other, splits=["test"], overwrite=True)
    assert len(read_questions(tmp_path / "out")) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_damaged_shards_are_not_taken_as_complete(tmp_path: Path) -> None:
    write_shards(rows(), tmp_path / "out", ABOUT, splits=["test"])
    next((tmp_path / "out/data").iterdir()).write_bytes(b"cut")
    with pytest.raises(WriteRefused, match="broken"):
        write_shards(rows(), tmp_path / "out", ABOUT, splits=["test"])
    write_shards(rows(), tmp_path / "out", ABOUT, splits=["test"], overwrite=True)
    assert len(read_questions(tmp_path / "out")) == 5


def test_a_folder_with_foreign_files_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/diary.txt").write_text("dear")
    with pytest.raises(WriteRefused, match=r"diary\.txt"):
        write_shards(rows(), tmp_path / "home", ABOUT, splits=["test"], overwrite=True)
    write_shards(rows(), tmp_path / "out", ABOUT, splits=["test"])
    (tmp_path / "out/data/mine.csv").write_text("1")
    with pytest.raises(WriteRefused, match=r"mine\.csv"):
        write_shards(rows(), tmp_path / "out", ABOUT, splits=["test"], overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteRefused, match="not a folder"):
        write_shards(rows(), tmp_path / "file", ABOUT, splits=["test"], overwrite=True)
    assert (tmp_path / "home/diary.txt").read_text() == "dear"


def test_an_empty_folder_may_be_filled_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "disk/empty").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk/empty")
    write_shards(rows(), tmp_path / "link", ABOUT, splits=["test"])
    assert (tmp_path / "link").is_symlink()
    assert len(read_questions(tmp_path / "disk/empty")) == 5


def test_writing_no_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WriteRefused, match="no question"):
        write_shards([], tmp_path / "out", ABOUT, splits=["test"])
    assert list(tmp_path.iterdir()) == []
