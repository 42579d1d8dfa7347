"""Reading questions and media from shard folders, the Hub cache and TSV files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("datasets")

from data_pipeline.shards.dataset_card import CardText
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.environment import dataset_in_use
from lmms_eval_shotbench.qa_item import BadRow, QAItem
from lmms_eval_shotbench.questions.question_files import questions_about_files, questions_parquet, read_questions
from lmms_eval_shotbench.questions.shards import FORMAT_VERSION, DatasetNotFound, ShardFolder, locate_shards
from tests.support import REPOSITORY
from tests.support.items import make_item

ABOUT = CardText("Test", "fingerprint", "what", "where from", "how", "apache-2.0")


def item_and_bytes(index: int) -> tuple[QAItem, bytes]:
    content = f"still {index}".encode() * 100  # readers of shards do not decode
    return replace(make_item(index=index), media_sha256=hashlib.sha256(content).hexdigest()), content


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    rows = (PendingRow.of("test", *item_and_bytes(index)) for index in range(1, 201))
    write_shards(rows, tmp_path / "shards", ABOUT, splits=["test"])
    return tmp_path / "shards"


def test_media_are_read_by_id_in_any_order_and_from_many_threads(shards: Path) -> None:
    folder = ShardFolder(shards)
    items = list(folder.items())
    assert [item.source_index for item in items] == list(range(1, 201))
    order = items[::-1] + items[::7]
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(lambda item: folder.media(item.item_id), order))
    assert [hashlib.sha256(content).hexdigest() for content in contents] == [item.media_sha256 for item in order]
    with pytest.raises(KeyError):
        folder.media("no such item")


def test_a_folder_without_a_manifest_is_rejected(shards: Path) -> None:
    (shards / "manifest.json").unlink()
    with pytest.raises(DatasetNotFound, match="holds no shards"):
        locate_shards(str(shards))


@pytest.mark.parametrize(
    ("version", "step"), [(1, r"write them again .* --overwrite"), (99, "install a newer"), (None, "write them again")]
)
def test_the_error_for_another_format_version_gives_the_next_step(shards: Path, version: int | None, step: str) -> None:
    manifest = json.loads((shards / "manifest.json").read_text())
    (shards / "manifest.json").write_text(json.dumps(manifest | {"format_version": version}))
    for read in (lambda: locate_shards(str(shards)), lambda: ShardFolder(shards), lambda: read_questions(shards)):
        with pytest.raises(DatasetNotFound, match=rf"format {version}, this version reads {FORMAT_VERSION}: {step}"):
            read()


def test_the_error_for_the_official_release_points_to_its_import(tmp_path: Path) -> None:
    (tmp_path / "test.tsv").touch()
    with pytest.raises(DatasetNotFound, match=r"shotbench data import-shotbench .* --out SHARDS"):
        locate_shards(str(tmp_path))


def test_the_error_for_a_missing_split_names_it(shards: Path) -> None:
    with pytest.raises(DatasetNotFound, match="no split 'train'"):
        ShardFolder(shards, "train")


@pytest.mark.slow
def test_a_hub_id_is_resolved_through_the_local_cache(shards: Path, tmp_path: Path) -> None:
    repository = tmp_path / "hf" / "hub" / "datasets--film--shots"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    shutil.copytree(shards, repository / "snapshots" / commit)
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}

    def child(name: str) -> subprocess.CompletedProcess[str]:
        import_ = "from lmms_eval_shotbench.questions.question_files import read_questions"
        code = f"{import_}; print(len(read_questions({name!r})))"
        return subprocess.run(
            [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True
        )

    assert child("film/shots").stdout.strip() == "200"
    assert "DatasetNotFound: no questions at 'film/other'" in child("film/other").stderr


def test_a_repeated_index_is_rejected(tmp_path: Path) -> None:
    item, content = item_and_bytes(1)
    repeated = [PendingRow.of("test", item, content), PendingRow.of("test", replace(item, item_id="other"), b"x")]
    write_shards(repeated, tmp_path / "shards", ABOUT, splits=["test"])
    with pytest.raises(BadRow, match="an index that occurs once"):
        read_questions(tmp_path / "shards")


def test_a_tsv_is_converted_to_parquet_once(real_data: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as parquet

    path = questions_parquet(real_data / "shotbench" / "test.tsv", tmp_path)
    written = path.stat().st_mtime_ns
    assert questions_parquet(real_data / "shotbench" / "test.tsv", tmp_path).stat().st_mtime_ns == written
    rows = parquet.read_table(path).to_pylist()
    assert [QAItem.from_row(row) for row in rows] == read_questions(real_data / "shotbench" / "test.tsv")


def test_questions_about_files_read_each_file_when_it_is_asked_for(tmp_path: Path) -> None:
    import pyarrow.parquet as parquet

    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "1.jpg").write_bytes(b"a picture")
    first = replace(item_and_bytes(1)[0], media_path="media/1.jpg")
    second = replace(first, item_id="second", source_index=first.source_index + 1)
    questions = questions_about_files([first, second], tmp_path, tmp_path / "questions.parquet")
    rows = parquet.read_table(tmp_path / "questions.parquet").to_pylist()
    assert [QAItem.from_row(row) for row in rows] == questions.items == [first, second]
    assert questions.shards is not None
    assert questions.shards.paths == [tmp_path / "questions.parquet"]
    assert questions.shards.media("second") == questions.shards.media(first.item_id) == b"a picture"
    with pytest.raises(KeyError):
        questions.shards.media("third")


def test_the_dataset_defaults_to_the_environment_variable_then_to_the_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOTBENCH_DATA", raising=False)
    assert dataset_in_use() == "Vchitect/ShotBench"
    monkeypatch.setenv("SHOTBENCH_DATA", "/some/folder")
    assert dataset_in_use() == "/some/folder"
    assert dataset_in_use("given") == "given"
