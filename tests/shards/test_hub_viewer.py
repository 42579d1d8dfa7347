"""Shards are read as the Hub's dataset viewer reads them, and what it could not show is named before a push."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from data_pipeline.shards import hub_viewer
from data_pipeline.shards.hub_viewer import NotViewable, check_viewable
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.split_writer import FILE_BYTES, ROW_GROUP_BYTES
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.shard_rows import ABOUT, row, rows

Change = Callable[[Path], None]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    both = [*rows(6, "sft"), *rows(6)]
    write_shards(both, tmp_path / "shards", ABOUT, splits=["sft", "dev", "test"])  # dev has no rows
    return tmp_path / "shards"


def still(mode: str, form: str) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (8, 6)).save(stream, form)
    return stream.getvalue()


def test_written_shards_can_be_shown(shards: Path) -> None:
    check_viewable(shards)


def test_the_row_groups_that_are_written_are_far_below_the_limit() -> None:
    assert ROW_GROUP_BYTES * 10 < hub_viewer.READ_BYTES < FILE_BYTES


@pytest.mark.parametrize(
    ("mode", "form"),
    [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("P", "PNG"), ("I;16", "PNG"), ("P", "GIF"),
     ("RGBA", "WEBP"), ("1", "TIFF")],
)  # fmt: skip
def test_stills_of_common_formats_can_be_shown(mode: str, form: str, tmp_path: Path) -> None:
    media = [PendingRow.of("test", row(0).item, still(mode, form))]
    write_shards(media, tmp_path / "shards", ABOUT, splits=["test"])
    check_viewable(tmp_path / "shards")


@pytest.mark.parametrize(
    ("medium", "path", "kind", "message"),
    [
        (b"no still", "a.png", MediaKind.STILL, r"row 0 of the split 'test' of 'default': a.png cannot be opened"),
        (still("RGB", "PNG")[:45], "a.png", MediaKind.STILL, r"a.png cannot be opened: still"),
        (still("F", "TIFF"), "a.tif", MediaKind.STILL, r"a.tif can be shown neither as JPEG nor as PNG"),
        (b"clip", "clips/a", MediaKind.CLIP, r"row 0 .* the clip 'clips/a' has no suffix"),
    ],
    ids=["no still", "truncated still", "still of floats", "clip without suffix"],
)
def test_a_medium_that_cannot_be_shown_is_named(
    medium: bytes, path: str, kind: MediaKind, message: str, tmp_path: Path
) -> None:
    item = replace(row(0, kind).item, media_path=path)
    write_shards([PendingRow.of("test", item, medium)], tmp_path / "shards", ABOUT, splits=["test"])
    with pytest.raises(NotViewable, match=message):
        check_viewable(tmp_path / "shards")


@pytest.mark.parametrize("page", [4, 5])
def test_media_behind_the_first_page_are_not_read(page: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_viewer, "PAGE_ROWS", page)
    broken = PendingRow.of("test", row(4).item, b"no still")
    write_shards([*map(row, range(4)), broken], tmp_path / "shards", ABOUT, splits=["test"])
    with pytest.raises(NotViewable, match="row 4") if page == 5 else nullcontext():
        check_viewable(tmp_path / "shards")


def rewritten(change: Callable[[pyarrow.Table], pyarrow.Table]) -> Change:
    """Write the file of the test split again with another table."""

    def rewrite(shards: Path) -> None:
        (path,) = (shards / "data").glob("test-*.parquet")
        parquet.write_table(change(parquet.read_table(path)), path)

    return rewrite


def with_image_type(value: str) -> Change:
    return rewritten(
        lambda table: table.replace_schema_metadata(
            {key: text.replace(b'"Image"', value.encode()) for key, text in table.schema.metadata.items()}
        )
    )


def in_card(old: str, new: str) -> Change:
    def replace_in_card(shards: Path) -> None:
        card = (shards / "README.md").read_text(encoding="utf-8")
        assert old in card
        (shards / "README.md").write_text(card.replace(old, new, 1), encoding="utf-8")

    return replace_in_card


def without_test_file(shards: Path) -> None:
    for path in (shards / "data").glob("test-*"):
        path.unlink()


def with_undeclared_file(shards: Path) -> None:
    (path,) = (shards / "data").glob("test-*.parquet")
    path.with_name("train-00000-of-00001.parquet").write_bytes(path.read_bytes())


TEST_SPLIT = "  - split: test\n    path: data/test-*.parquet\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            rewritten(lambda table: table.replace_schema_metadata(None)),
            "column 'image' should be Image.* but is {'bytes'",
        ),
        (with_image_type('"Audio"'), r"test-.*: the column 'image' should be Image.*, but is Audio"),
        (with_image_type('"Nonsense"'), r"test-.*: the column types in its metadata cannot be read"),
        (rewritten(lambda table: table.drop_columns("reasoning")), "column 'reasoning' should be .*, but is absent"),
        (rewritten(lambda table: table.append_column("extra", table["answer"])), "'extra' should be absent"),
        (rewritten(lambda table: table.slice(1)), r"counts the rows of the splits as .*'test': 6.*have .*'test': 5"),
        (in_card(TEST_SPLIT, ""), r"declares no split with data/test-00000-of-00001.parquet"),
        (with_undeclared_file, r"declares no split with data/train-00000-of-00001.parquet"),
        (without_test_file, r"declares the split 'test' of 'default', and no file is named data/test-"),
        (in_card("configs:", "nothing:"), r"README.md declares no configs"),
        (in_card("dataset_info:", "nothing:"), r"README.md has no dataset_info"),
    ],
)
def test_shards_that_the_viewer_refuses_are_named(change: Change, message: str, shards: Path) -> None:
    change(shards)
    with pytest.raises(NotViewable, match=message):
        check_viewable(shards)


def test_a_row_group_above_the_limit_of_one_read_is_named(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_viewer, "READ_BYTES", 1000)
    with pytest.raises(NotViewable, match=r"row group 0 has [\d,]+ bytes, and the viewer reads at most 1,000 at once"):
        check_viewable(shards)
