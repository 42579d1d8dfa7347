"""Resuming interrupted writes: the result is byte-identical, and no medium of a finished file is read twice."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from data_pipeline.shards import atomic_folder, finished_files, split_writer
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.dataset_card import CardText
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.questions.question_files import read_questions
from tests.support import REPOSITORY
from tests.support.shard_rows import ABOUT, checksums, row

SPLITS = ["sft", "dev", "test"]
ROWS = 400
WRITE_IN_CHILD = """
import os, signal, sys
from pathlib import Path
from tests.shards.test_write_shards_resume import ABOUT, SPLITS, journal, many_rows, small_files, write_shards
small_files(setattr)
out, finished = Path(sys.argv[1]), int(sys.argv[2])
def fatal(rows):
    for row in rows:
        if len(journal(out)) >= finished:
            os.kill(os.getpid(), signal.SIGKILL)
        yield row
write_shards(fatal(many_rows()), out, ABOUT, splits=SPLITS)
"""


def small_files(set_to: Callable[[object, str, int], None]) -> None:
    set_to(split_writer, "ROW_GROUP_ROWS", 8)
    set_to(split_writer, "FILE_BYTES", 2_500)


def many_rows(reads: list[str] | None = None, until: int = ROWS) -> Iterator[PendingRow]:
    """Rows of mixed splits; the ids of rows whose media are read are appended to `reads`."""
    for number in range(until):
        split, item, read, _ = row(number, split=("sft", "sft", "sft", "dev", "test")[number % 5])

        def recorded(name: str = item.item_id, read: Callable[[], bytes] = read) -> bytes:
            if reads is not None:
                reads.append(name)
            return read()

        yield PendingRow(split, item, recorded)


@pytest.fixture(autouse=True)
def small_shard_files(monkeypatch: pytest.MonkeyPatch) -> None:
    small_files(monkeypatch.setattr)


def journal(out: Path) -> list[dict[str, object]]:
    """The finished files in the draft of `out`; empty if there is no draft."""
    try:
        lines = (out.with_name(f".{out.name}.partial") / "journal.jsonl").read_text().splitlines()[1:]
        return [json.loads(line) for line in lines]
    except (FileNotFoundError, ValueError):
        return []


def uninterrupted(folder: Path, rows: Iterable[PendingRow] | None = None, about: CardText = ABOUT) -> dict[str, str]:
    write_shards(many_rows() if rows is None else rows, folder, about, splits=SPLITS)
    return checksums(folder)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of an uninterrupted run."""
    with pytest.MonkeyPatch.context() as patch:
        small_files(patch.setattr)
        return uninterrupted(tmp_path_factory.mktemp("uninterrupted") / "once")


def killed_at(out: Path, finished: int) -> int:
    """Write to `out` in a process that is killed after `finished` files; returns the number of finished files."""
    child = subprocess.run([sys.executable, "-c", WRITE_IN_CHILD, str(out), str(finished)], cwd=REPOSITORY)
    assert child.returncode == -signal.SIGKILL
    return len(journal(out))


@pytest.mark.slow
def test_a_repeatedly_killed_run_ends_with_the_same_bytes(tmp_path: Path, expected: dict[str, str]) -> None:
    assert len(expected) > 15
    at = [killed_at(tmp_path / "out", finished) for finished in (1, 4, 9)]
    assert 0 < at[0] < at[1] < at[2] < len(expected) - 2
    assert not (tmp_path / "out").exists()
    kept = sum(int(str(file["rows"])) for file in journal(tmp_path / "out"))
    reads: list[str] = []
    write_shards(many_rows(reads), tmp_path / "out", ABOUT, splits=SPLITS)
    assert checksums(tmp_path / "out") == expected
    assert len(reads) == len(set(reads)) == ROWS - kept
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("point", ["manifest written", "some files renamed", "old shards renamed"])
def test_a_run_stopped_in_the_last_steps_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: dict[str, str], point: str
) -> None:
    uninterrupted(tmp_path / "out", many_rows(until=10), replace(ABOUT, fingerprint="older"))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    def rename_two(self: finished_files.FinishedFiles) -> None:
        self.wait()
        for file in self.files[:2]:
            path = self._folder / file.name
            path.rename(path.with_name(f"{path.stem}-of-00007.parquet"))
        raise KeyboardInterrupt

    def rename_old_and_stop(folder: Path, out: Path, overwrite: bool) -> None:
        out.rename(atomic_folder.replaced_path(out))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # these points are too brief to hit with a SIGKILL
        if point == "manifest written":
            patch.setattr(atomic_folder, "_move_into_place", stop)
        elif point == "some files renamed":
            patch.setattr(finished_files.FinishedFiles, "give_final_names", rename_two)
        else:
            patch.setattr(atomic_folder, "_move_into_place", rename_old_and_stop)
        with pytest.raises(KeyboardInterrupt):
            write_shards(many_rows(), tmp_path / "out", ABOUT, splits=SPLITS, overwrite=True)
    reads: list[str] = []
    write_shards(many_rows(reads), tmp_path / "out", ABOUT, splits=SPLITS, overwrite=True)
    assert reads == []
    assert checksums(tmp_path / "out") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def interrupted_write(out: Path, error: BaseException, about: CardText = ABOUT) -> None:
    def rows_until_it_fails() -> Iterator[PendingRow]:
        yield from many_rows(until=200)
        raise error

    with pytest.raises(type(error)):
        write_shards(rows_until_it_fails(), out, about, splits=SPLITS)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), OSError(5, "I/O"), RuntimeError("a worker died")])
def test_finished_files_are_kept_when_writing_fails(
    tmp_path: Path, expected: dict[str, str], error: BaseException
) -> None:
    interrupted_write(tmp_path / "out", error)
    files = journal(tmp_path / "out")
    data = tmp_path / ".out.partial/shards/data"
    assert len(files) > 3
    assert {path.name for path in data.iterdir()} == {f"{f['split']}-{f['number']:05d}.parquet" for f in files}
    assert not (tmp_path / ".out.lock").exists()
    reads: list[str] = []
    write_shards(many_rows(reads), tmp_path / "out", ABOUT, splits=SPLITS)
    assert len(reads) < ROWS
    assert checksums(tmp_path / "out") == expected


def test_an_unfinished_file_is_discarded_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    interrupted_write(tmp_path / "out", KeyboardInterrupt())
    gc.collect()
    assert unraisable == []


def test_nothing_is_kept_when_the_rows_are_refused(tmp_path: Path) -> None:
    interrupted_write(tmp_path / "out", ValueError("rows are lost"))
    assert list(tmp_path.iterdir()) == []


def test_another_source_starts_over_and_cleans_up(tmp_path: Path) -> None:
    interrupted_write(tmp_path / "out", KeyboardInterrupt())
    other, reads = replace(ABOUT, fingerprint="print-2"), list[str]()
    write_shards(many_rows(reads), tmp_path / "out", other, splits=SPLITS)
    assert len(reads) == ROWS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_source_with_other_rows_and_the_same_fingerprint_is_refused_once(tmp_path: Path) -> None:
    for others in (list(many_rows())[1:], list(many_rows(until=20))):
        interrupted_write(tmp_path / "out", KeyboardInterrupt())
        with pytest.raises(WriteRefused, match="no longer gives the rows of split"):
            write_shards(others, tmp_path / "out", ABOUT, splits=SPLITS)
        assert list(tmp_path.iterdir()) == []


def test_a_truncated_finished_file_and_all_after_it_are_written_again(tmp_path: Path, expected: dict[str, str]) -> None:
    interrupted_write(tmp_path / "out", KeyboardInterrupt())
    (tmp_path / ".out.partial/shards/data/sft-00001.parquet").write_bytes(b"cut")
    with (tmp_path / ".out.partial/journal.jsonl").open("a") as stream:
        stream.write('{"split": "sft", "num')
    write_shards(many_rows(), tmp_path / "out", ABOUT, splits=SPLITS)
    assert checksums(tmp_path / "out") == expected
    assert len(read_questions(tmp_path / "out")) == ROWS // 5  # in the split `test`
