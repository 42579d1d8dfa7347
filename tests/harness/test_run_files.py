"""Where the files of a run are written: a failed or incomplete run never replaces a complete one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lmms_eval_shotbench.harness import run_files
from lmms_eval_shotbench.harness.run_files import FILES, is_complete, write_run


def files(name: str, unanswered: list[int] | None = None) -> dict[str, str]:
    """The contents of a run's files; `name` tells runs apart."""
    samples, strict, official = FILES
    scores = json.dumps({"name": name, "unanswered": unanswered or []})
    return {samples: f"samples of {name}\n", strict: scores, official: scores}


def contents(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text() for name in FILES if (folder / name).exists()}


def test_the_newest_complete_run_stands_in_the_folder_and_earlier_ones_are_numbered(tmp_path: Path) -> None:
    for name in ("first", "second", "third"):
        assert write_run(tmp_path, files(name), complete=True) == tmp_path
    assert contents(tmp_path) == files("third")
    assert contents(tmp_path / "previous" / "001") == files("first")
    assert contents(tmp_path / "previous" / "002") == files("second")
    assert len(list((tmp_path / "previous").iterdir())) == 2


def test_the_same_run_again_is_not_kept_twice(tmp_path: Path) -> None:
    write_run(tmp_path, files("first"), complete=True)
    write_run(tmp_path, files("first"), complete=True)
    assert not (tmp_path / "previous").exists()


def test_an_incomplete_run_stays_beside_a_complete_one_until_it_is_completed(tmp_path: Path) -> None:
    write_run(tmp_path, files("complete"), complete=True)
    assert write_run(tmp_path, files("later", [3]), complete=False) == tmp_path / "incomplete"
    assert contents(tmp_path) == files("complete") and contents(tmp_path / "incomplete") == files("later", [3])
    write_run(tmp_path, files("later"), complete=True)
    assert contents(tmp_path) == files("later")
    assert contents(tmp_path / "previous" / "001") == files("complete")
    assert not (tmp_path / "incomplete").exists()


def test_without_a_complete_run_an_incomplete_one_stands_in_the_folder(tmp_path: Path) -> None:
    assert write_run(tmp_path, files("first", [3]), complete=False) == tmp_path
    assert not is_complete(tmp_path)
    write_run(tmp_path, files("first"), complete=True)
    assert is_complete(tmp_path) and contents(tmp_path / "previous" / "001") == files("first", [3])


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"unanswered": null}', "null"])
def test_broken_scores_are_of_no_complete_run_and_are_kept(tmp_path: Path, broken: str) -> None:
    (tmp_path / "scores.json").write_text(broken)
    (tmp_path / "samples.jsonl").write_text("of an earlier run")
    assert not is_complete(tmp_path)
    write_run(tmp_path, files("new", [1]), complete=False)
    assert contents(tmp_path / "previous" / "001") == {"samples.jsonl": "of an earlier run", "scores.json": broken}


def test_files_of_an_earlier_layout_are_left_in_previous(tmp_path: Path) -> None:
    (tmp_path / "previous").mkdir()
    (tmp_path / "previous" / "samples.jsonl").write_text("of an earlier version")
    write_run(tmp_path, files("first"), complete=True)
    write_run(tmp_path, files("second"), complete=True)
    assert (tmp_path / "previous" / "samples.jsonl").read_text() == "of an earlier version"
    assert contents(tmp_path / "previous" / "001") == files("first")


def test_a_full_disk_while_a_run_is_kept_leaves_the_present_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, files("first"), complete=True)

    def no_space(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(run_files.shutil, "copy2", no_space)
        with pytest.raises(OSError, match="No space left"):
            write_run(tmp_path, files("second"), complete=True)
    assert contents(tmp_path) == files("first")
    write_run(tmp_path, files("second"), complete=True)
    assert contents(tmp_path / "previous" / "001") == files("first")


def test_a_run_that_is_written_again_keeps_its_date(tmp_path: Path) -> None:
    def dated(date: str, micro: float) -> dict[str, str]:
        samples, strict, official = FILES
        scores = json.dumps({"run": {"date": date}, "micro": micro, "unanswered": []})
        return {samples: "samples\n", strict: scores, official: scores}

    write_run(tmp_path, dated("2026-11-01", 0.5), complete=True)
    write_run(tmp_path, dated("2026-11-30", 0.5), complete=True)
    assert contents(tmp_path) == dated("2026-11-01", 0.5)
    assert not (tmp_path / "previous").exists()
    write_run(tmp_path, dated("2026-11-30", 0.25), complete=True)
    assert contents(tmp_path) == dated("2026-11-30", 0.25)
    assert contents(tmp_path / "previous" / "001") == dated("2026-11-01", 0.5)
