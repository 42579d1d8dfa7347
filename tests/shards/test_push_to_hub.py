"""Shards on the Hub, against a local server: one commit, nothing sent twice, no closed licence published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from data_pipeline.shards import split_writer
from data_pipeline.shards.croissant import add_croissant
from data_pipeline.shards.hub_benchmark import add_benchmark
from data_pipeline.shards.push import push
from data_pipeline.shards.push_result import PushRefused
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import write_shards
from tests.support.hub_uploads import Repository, upload_server
from tests.support.ports import refusing_port
from tests.support.shard_rows import ABOUT, checksums, row, rows

NAME = "film/shots"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    repository = Repository(NAME)
    with upload_server(repository) as endpoint:
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield repository


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(split_writer, "ROW_GROUP_ROWS", 4)
    monkeypatch.setattr(split_writer, "FILE_BYTES", 500)
    write_shards(rows(20), tmp_path / "shards", ABOUT, splits=["test"])
    return tmp_path / "shards"


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in checksums(folder)}


def test_shards_are_sent_in_one_commit_and_once(hub: Repository, shards: Path) -> None:
    (shards / "data/stray.txt").write_text("not listed")
    done = push(shards, NAME)
    (shards / "data/stray.txt").unlink()
    assert hub.branches["main"] == contents(shards)
    assert (done.sent_files, done.skipped_files, len(hub.commits), hub.private) == (len(checksums(shards)), 0, 1, False)
    again = push(shards, NAME)
    assert (again.sent_files, again.skipped_files, len(hub.commits)) == (0, len(checksums(shards)), 1)


def test_older_shards_are_deleted_in_the_same_commit_and_other_files_kept(
    hub: Repository, shards: Path, tmp_path: Path
) -> None:
    push(shards, NAME)
    hub.branches["main"][".gitattributes"] = b"*.parquet filter=lfs"
    other = replace(ABOUT, fingerprint="print-2")
    write_shards(rows(3), tmp_path / "other", other, splits=["dev", "test"])
    push(tmp_path / "other", NAME, revision="next")
    assert hub.branches["main"] == contents(shards) | {".gitattributes": b"*.parquet filter=lfs"}
    assert hub.branches["next"] == contents(tmp_path / "other") | {".gitattributes": b"*.parquet filter=lfs"}
    assert len(hub.commits) == 2


def test_large_files_of_an_interrupted_push_are_not_sent_again(hub: Repository, shards: Path) -> None:
    hub.failing_after = 2
    with pytest.raises(PushRefused, match=r"the Hub did not accept film/shots: Error while uploading 'data/.*403"):
        push(shards, NAME)
    assert hub.branches["main"] == {}
    hub.failing_after = None
    push(shards, NAME)
    assert hub.branches["main"] == contents(shards)
    assert len(hub.put) == len(set(hub.put)) == len(list((shards / "data").iterdir())) > 2


def test_closed_licences_go_to_private_repositories_only(hub: Repository, tmp_path: Path) -> None:
    write_shards(rows(), tmp_path / "shards", replace(ABOUT, licence="cc-by-nc-nd-4.0"), splits=["test"])
    with pytest.raises(PushRefused, match="cc-by-nc-nd-4"):
        push(tmp_path / "shards", NAME)
    assert hub.private is None
    push(tmp_path / "shards", NAME, private=True)
    assert hub.private is True and hub.branches["main"] == contents(tmp_path / "shards")
    hub.private, hub.branches["main"] = False, {}
    with pytest.raises(PushRefused, match="already exists and is public"):
        push(tmp_path / "shards", NAME, private=True)
    assert hub.branches["main"] == {}
    push(tmp_path / "shards", NAME, have_the_rights=True)
    assert hub.branches["main"] == contents(tmp_path / "shards")


def test_shards_that_the_viewer_cannot_show_are_sent_only_if_that_is_accepted(hub: Repository, tmp_path: Path) -> None:
    broken = PendingRow.of("test", row(0).item, b"no still")
    write_shards([broken], tmp_path / "shards", ABOUT, splits=["test"])
    with pytest.raises(PushRefused, match=r"viewer cannot show .*image/0.png cannot be opened.*--ignore-viewer"):
        push(tmp_path / "shards", NAME)
    assert hub.private is None  # no repository was made
    push(tmp_path / "shards", NAME, ignore_viewer=True)
    assert hub.branches["main"] == contents(tmp_path / "shards")


def test_a_benchmark_is_sent_with_its_files_and_deleted_with_them(
    hub: Repository, shards: Path, tmp_path: Path
) -> None:
    add_benchmark(shards)
    add_croissant(shards)
    push(shards, NAME)
    assert {"eval.yaml", "croissant.json", "inspect/shot_size.parquet"} < hub.branches["main"].keys()
    assert hub.branches["main"] == contents(shards)
    write_shards(rows(3), tmp_path / "other", replace(ABOUT, fingerprint="print-2"), splits=["test"])
    push(tmp_path / "other", NAME)
    assert hub.branches["main"] == contents(tmp_path / "other")


def test_a_hub_that_cannot_be_reached_is_named(hub: Repository, shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with refusing_port() as port:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
        with pytest.raises(PushRefused, match=r"the Hub did not accept film/shots: .*Check the name and the network"):
            push(shards, NAME)
