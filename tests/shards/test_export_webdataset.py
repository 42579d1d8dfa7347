"""WebDataset tars have every question and medium of the shards once, whatever their size, and the same bytes again."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.export_webdataset import export_webdataset
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.remote_path import RemotePath
from tests.support.memory_storage import empty_memory
from tests.support.shard_rows import ABOUT, checksums, rows

TAR_BYTES = 20_000


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two splits; every second question is about the medium of the one before."""
    source = [
        one._replace(item=replace(one.item, media_sha256=f"{split}{number // 2}"), read=rows(20)[number // 2 * 2].read)
        for split in ("dev", "test")
        for number, one in enumerate(one._replace(split=split) for one in rows(20)[:20])
    ]
    write_shards(source, tmp_path / "shards", ABOUT, splits=["dev", "test"])
    return tmp_path / "shards"


def samples(folder: Path, split: str) -> Iterator[tuple[list[QAItem], bytes]]:
    """The questions and the medium of each sample, read as plain tars."""
    for path in sorted(folder.glob(f"{split}-*.tar")):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            for record, medium in zip(members[::2], members[1::2], strict=True):
                assert record.name.removesuffix(".json") == medium.name.partition(".")[0]
                assert (medium.mtime, medium.uid, medium.uname) == (0, 0, "")
                questions = json.load(tar.extractfile(record))["questions"]  # type: ignore[arg-type]
                yield [QAItem.from_row(row) for row in questions], tar.extractfile(medium).read()  # type: ignore[union-attr]


def test_samples_have_every_question_once_and_its_medium(shards: Path, tmp_path: Path) -> None:
    done = export_webdataset(str(shards), tmp_path / "tars", TAR_BYTES)
    assert done.tars > 2 and done.samples == {"dev": 10, "test": 10}
    for split in ("dev", "test"):
        folder, read = ShardFolder(shards, split), list(samples(tmp_path / "tars", split))
        assert [item for questions, _ in read for item in questions] == list(folder.items())
        assert all(medium == folder.media(item.item_id) for questions, medium in read for item in questions)


def test_the_same_shards_give_the_same_tars_once(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        assert main(["data", "export-webdataset", str(shards), "--out", str(tmp_path / name)]) == 0
    assert checksums(tmp_path / "a") == checksums(tmp_path / "b")
    assert "2 tars of 20 samples (dev 10, test 10)" in capsys.readouterr().out
    assert export_webdataset(str(shards), tmp_path / "a", 1_000_000_000).already_complete
    with pytest.raises(WriteRefused, match="--overwrite"):
        export_webdataset(str(shards), tmp_path / "a", TAR_BYTES)
    export_webdataset(str(shards), tmp_path / "a", TAR_BYTES, overwrite=True)
    (tmp_path / "a/index.json").unlink()  # as if the run had been killed
    (tmp_path / "a/test-000009.tar").write_bytes(b"")
    export_webdataset(str(shards), tmp_path / "a", TAR_BYTES)
    assert not (tmp_path / "a/test-000009.tar").exists()
    (tmp_path / "b/diary.txt").write_text("dear")
    with pytest.raises(WriteRefused, match=r"diary\.txt"):
        export_webdataset(str(shards), tmp_path / "b", TAR_BYTES, overwrite=True)


def test_tars_at_an_address_are_those_of_a_folder(shards: Path, tmp_path: Path) -> None:
    export_webdataset(str(shards), tmp_path / "tars", TAR_BYTES)
    out = RemotePath("memory://bucket/tars")
    try:
        export_webdataset(str(shards), out, TAR_BYTES)
        assert {name: (out / name).read_bytes() for name in out.files()} == {
            path.name: path.read_bytes() for path in (tmp_path / "tars").iterdir()
        }
    finally:
        empty_memory()


@pytest.mark.s3
def test_the_package_webdataset_reads_them_back(shards: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    done = export_webdataset(str(shards), tmp_path / "tars", TAR_BYTES)
    tars = sum(path.name.startswith("test-") for path in (tmp_path / "tars").iterdir())
    assert tars < done.tars
    address = f"{tmp_path}/tars/test-{{000000..{tars - 1:06d}}}.tar"
    folder, read = ShardFolder(shards, "test"), list[QAItem]()
    for sample in webdataset.WebDataset(address, shardshuffle=False):
        items = [QAItem.from_row(row) for row in json.loads(sample["json"])["questions"]]
        media = [content for name, content in sample.items() if name in ("png", "mp4")]
        assert media == [folder.media(items[0].item_id)]
        read += items
    assert read == list(folder.items())
