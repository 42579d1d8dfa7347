"""`shotbench label apply` as a command: what it prints, and its exit status."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from data_pipeline.commands.label_apply import app
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.folder_lock import only_writer
from lmms_eval_shotbench.labelling.corrections import BadCorrections, corrections_csv
from lmms_eval_shotbench.labelling.shot_sheet import BadSheet
from tests.labelling.test_corrections import CLOSE
from tests.support.label_sheets import drawn_sheet


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, list(map(str, arguments)), standalone_mode=False)


def test_the_number_of_corrected_cells_is_printed_and_lost_ones_are_listed(tmp_path: Path) -> None:
    drawn_sheet(tmp_path, 4, media=False)
    saved = tmp_path / "saved.csv"
    saved.write_text(corrections_csv([CLOSE]))
    done = run(tmp_path, saved)
    assert (done.return_value, done.stdout) == (0, f"{saved}: corrections: 1; cells of {tmp_path} set by a person: 1\n")
    saved.write_text(corrections_csv([CLOSE, replace(CLOSE, start=80.0, end=82.0)]))
    done = run(tmp_path, saved)
    assert done.return_value == 1 and "set by a person: 1" in done.stdout
    assert "lost: film-0-0002 from 80.00 to 82.00 s of harbour: shot_size Close Up" in done.stderr


def test_a_folder_without_labels_and_a_file_without_corrections_are_refused(tmp_path: Path) -> None:
    done = run(tmp_path, tmp_path / "saved.csv")
    assert isinstance(done.exception, BadSheet) and "no films were labelled there" in str(done.exception)
    drawn_sheet(tmp_path, 1, media=False)
    done = run(tmp_path, tmp_path / "saved.csv")
    assert isinstance(done.exception, BadCorrections)


def test_corrections_are_not_merged_while_the_films_are_labelled_again(tmp_path: Path) -> None:
    labels, saved = tmp_path / "labels", tmp_path / "saved.csv"
    drawn_sheet(labels, 4, media=False)
    saved.write_text(corrections_csv([CLOSE]))
    with only_writer(labels):
        refused = run(labels, saved)
    assert isinstance(refused.exception, WriteRefused)
    assert f"process {os.getpid()} on " in str(refused.exception) and "wait until it ends" in str(refused.exception)
    assert not (labels / "corrections.csv").exists()
    assert run(labels, saved).return_value == 0


def test_the_working_folder_can_be_the_one_that_is_corrected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    drawn_sheet(Path(), 4, media=False)
    Path("saved.csv").write_text(corrections_csv([CLOSE]))
    assert run(".", "saved.csv").return_value == 0
