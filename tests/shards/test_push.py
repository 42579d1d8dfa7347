"""Pushed shards are complete and verified, are sent once, and only to permitted targets."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from data_pipeline.shards import push_to_folder, split_writer
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.full_disk import DiskFull
from data_pipeline.shards.manifest import Damaged
from data_pipeline.shards.push import TargetKind, closed_licences, parse_target, push
from data_pipeline.shards.push_result import PushRefused
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.shards import DatasetNotFound, locate_shards
from tests.support.shard_rows import ABOUT, checksums, rows


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(split_writer, "ROW_GROUP_ROWS", 4)
    monkeypatch.setattr(split_writer, "FILE_BYTES", 500)
    write_shards(rows(20), tmp_path / "shards", ABOUT, splits=["test"])
    assert len(list((tmp_path / "shards/data").iterdir())) > 2
    return tmp_path / "shards"


def other_shards(folder: Path) -> Path:
    write_shards(rows(3), folder, replace(ABOUT, fingerprint="print-2"), splits=["test"], extra={"audit.json": "{}"})
    return folder


def test_targets_are_parsed_and_ambiguous_ones_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for target in ("film/shots", "hf://datasets/film/shots"):
        assert parse_target(target) == (TargetKind.HUB, "film/shots")
    assert [parse_target(target)[0] for target in ("s3://b/x", "memory://x")] == [TargetKind.URL] * 2
    for target in ("/data/shots", "./film/shots", "../shots", "~/shots", "shots", "a/b/c"):
        assert parse_target(target) == (TargetKind.FOLDER, target)
    (tmp_path / "film/shots").mkdir(parents=True)
    with pytest.raises(PushRefused, match=r"\./film/shots or hf://datasets/film/shots"):
        parse_target("film/shots")
    with pytest.raises(PushRefused, match="--private and --revision are for the Hub"):
        push(tmp_path, "./x", private=True)


def test_a_folder_that_does_not_match_its_manifest_is_not_sent(shards: Path, tmp_path: Path) -> None:
    data = sorted((shards / "data").iterdir())[1]
    content = data.read_bytes()
    data.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])  # one bit, the same size
    with pytest.raises(Damaged, match=data.name):
        push(shards, str(tmp_path / "copy"))
    data.unlink()
    with pytest.raises(Damaged, match=data.name):
        push(shards, str(tmp_path / "copy"))
    (shards / "manifest.json").unlink()
    with pytest.raises(DatasetNotFound, match="holds no shards"):
        push(shards, str(tmp_path / "copy"))
    with pytest.raises(Damaged, match="not a folder"):
        push(tmp_path / "nothing", str(tmp_path / "copy"))
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]


def test_a_copy_is_complete_and_made_once(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shards / "data/stray.txt").write_text("not listed")
    assert main(["data", "push", str(shards), str(tmp_path / "deep/copy")]) == 0
    (shards / "data/stray.txt").unlink()
    assert checksums(tmp_path / "deep/copy") == checksums(shards)
    assert f"{len(checksums(shards))} files sent" in capsys.readouterr().out
    again = push(shards, str(tmp_path / "deep/copy"))
    assert (again.sent_files, again.skipped_files) == (0, len(checksums(shards)))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["copy"]


def test_other_shards_are_replaced_only_on_request_and_anything_else_never(shards: Path, tmp_path: Path) -> None:
    other_shards(tmp_path / "copy")
    with pytest.raises(WriteRefused, match="--overwrite"):
        push(shards, str(tmp_path / "copy"))
    push(shards, str(tmp_path / "copy"), overwrite=True)
    assert checksums(tmp_path / "copy") == checksums(shards)
    (tmp_path / "copy/diary.txt").write_text("dear")
    with pytest.raises(WriteRefused, match=r"diary\.txt"):
        push(other_shards(tmp_path / "other"), str(tmp_path / "copy"), overwrite=True)
    for target in (shards, shards / "inside", tmp_path):
        with pytest.raises(PushRefused, match="choose another target"):
            push(shards, str(target), overwrite=True)


def test_an_interrupted_copy_resumes(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []

    def until_the_third(source: Path, target: Path) -> None:
        copied.append(source.name)
        target.write_bytes(source.read_bytes()[: -1 if len(copied) == 3 else None])
        if len(copied) == 3:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(push_to_folder.shutil, "copyfile", until_the_third)
        with pytest.raises(DiskFull, match="are missing"):
            push(shards, str(tmp_path / "copy"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".copy.partial", "shards"]
    done = push(shards, str(tmp_path / "copy"))
    assert (done.skipped_files, done.sent_files) == (2, len(checksums(shards)) - 2)
    assert checksums(tmp_path / "copy") == checksums(shards)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "shards"]


@pytest.fixture(params=["memory", "file"])
def fsspec_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A URL supported by fsspec, empty before and after the test."""
    url = "memory://bucket/shots" if request.param == "memory" else f"file://{tmp_path}/bucket/shots"
    yield url
    files, root = fsspec.core.url_to_fs(url)
    if files.exists(root):
        files.rm(root, recursive=True)


def downloaded(url: str, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    files, root = fsspec.core.url_to_fs(url)
    files.get(root + "/", str(folder) + "/", recursive=True)
    return folder


def test_shards_at_a_url_are_identical_and_sent_once(shards: Path, tmp_path: Path, fsspec_url: str) -> None:
    assert push(shards, fsspec_url).sent_files == len(checksums(shards))
    assert checksums(downloaded(fsspec_url, tmp_path / "back")) == checksums(shards)
    assert push(shards, fsspec_url)[1:] == (0, 0, len(checksums(shards)))


def test_shards_at_a_url_are_replaced_completely_and_only_on_request(
    shards: Path, tmp_path: Path, fsspec_url: str
) -> None:
    push(other_shards(tmp_path / "other"), fsspec_url)
    with pytest.raises(PushRefused, match="other shards"):
        push(shards, fsspec_url)
    push(shards, fsspec_url, overwrite=True)
    assert checksums(downloaded(fsspec_url, tmp_path / "back")) == checksums(shards)
    files, root = fsspec.core.url_to_fs(fsspec_url)
    files.pipe_file(f"{root}/data/mine.csv", b"1")
    with pytest.raises(PushRefused, match=r"data/mine\.csv"):
        push(tmp_path / "other", fsspec_url, overwrite=True)


def test_an_interrupted_push_to_a_url_is_incomplete_and_resumes(
    shards: Path, tmp_path: Path, fsspec_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(other_shards(tmp_path / "other"), fsspec_url)
    kind = type(fsspec.core.url_to_fs(fsspec_url)[0])
    put, sent = kind.put_file, list[str]()

    def until_the_third(self: object, source: str, target: str, **options: object) -> None:
        if len(sent) == 2:
            raise ConnectionError("gone")
        sent.append(target)
        put(self, source, target, **options)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "put_file", until_the_third)
        with pytest.raises(PushRefused, match="gone"):
            push(shards, fsspec_url, overwrite=True)
    with pytest.raises(DatasetNotFound, match="holds no shards"):
        locate_shards(str(downloaded(fsspec_url, tmp_path / "half")))
    assert push(shards, fsspec_url).skipped_files == 2
    assert checksums(downloaded(fsspec_url, tmp_path / "back")) == checksums(shards)


def test_a_url_with_an_unknown_scheme_is_refused(shards: Path) -> None:
    with pytest.raises(PushRefused, match="Protocol not known: nosuch; give an address"):
        push(shards, "nosuch://bucket/shots")


def test_licences_that_forbid_redistribution_are_not_published(tmp_path: Path) -> None:
    def licensed(name: str, card: str, *questions: str) -> Path:
        given = [
            one._replace(item=replace(one.item, licence=licence))
            for one, licence in zip(rows(), questions, strict=False)
        ]
        write_shards(given or rows(), tmp_path / name, replace(ABOUT, licence=card), splits=["test"])
        return tmp_path / name

    assert closed_licences(licensed("open", "apache-2.0", "cc-by-sa-4.0", "CC0-1.0", "", "cc-by-nc-4.0")) == []
    assert closed_licences(licensed("card", "cc-by-nc-nd-4.0")) == ["cc-by-nc-nd-4.0"]
    mixed = licensed("mixed", "apache-2.0", "cc-by-nc-nd-4.0", "mit", "all rights reserved")
    assert closed_licences(mixed) == ["all rights reserved", "cc-by-nc-nd-4.0"]
    with pytest.raises(PushRefused, match=r"all rights reserved, cc-by-nc-nd-4\.0, .* --i-have-the-rights"):
        push(mixed, "film/shots")
    assert push(mixed, str(tmp_path / "copy")).sent_files == 3  # a private copy
