"""The shot sheet as files: what is written is read back, and an incomplete folder is named."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from lmms_eval_shotbench.labelling.label_cell import PERSON, LabelCell, Status
from lmms_eval_shotbench.labelling.shot import FilmFacts, FilmShot
from lmms_eval_shotbench.labelling.shot_sheet import (
    FACTS,
    SHOTS,
    TABLE,
    BadSheet,
    SheetRow,
    ShotSheet,
    read_sheet,
    sheet_table,
    write_sheet,
)
from lmms_eval_shotbench.labelling.vote import NO_TERM, Vote, Way

FILM = FilmFacts("a film", "a film.mov", "/films/a film.mov", Fraction(24000, 1001), 48, 320, 180, "01:00:00:00")
SHOT = FilmShot("a-film-0001", "a film", 1, "media/a-film/0001.jpg", "media/a-film/0001.mp4", 0, 24, 0.0, 1.001)
CELLS = {
    "shot_size": LabelCell(Status.LABELLED, "Close Up", 0.91, 1.0, "tiny@1 by probability", (("Medium", 0.07),)),
    "camera_angle": LabelCell(Status.UNSURE, "Dutch angle", 0.4, 0.5, "tiny@1 by probability"),
    "camera_movement": LabelCell(Status.NONE, confidence=1.0, source=PERSON, contradictions=("a sentence",)),
}
VOTE = Vote("shot_size", "tiny@1", Way.PROBABILITY, SHOT.still, "mirrored", {"Close Up": 0.9, NO_TERM: 0.1})
SHEET = ShotSheet([FILM], [SheetRow(SHOT, CELLS, [VOTE])], {"command": ["shotbench", "label"]})


def test_a_sheet_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    write_sheet(tmp_path, SHEET)
    assert read_sheet(tmp_path) == SHEET
    assert read_sheet(tmp_path, votes=False).shots == [SheetRow(SHOT, CELLS, [])]


def test_the_table_has_only_labels_that_are_certain_enough(tmp_path: Path) -> None:
    write_sheet(tmp_path, SHEET)
    (row,) = csv.DictReader((tmp_path / TABLE).open(encoding="utf-8"))
    assert (row["shot_size"], row["shot_size_confidence"], row["end"]) == ("Close Up", "0.910", "1.001000")
    assert (row["camera_angle"], row["camera_angle_status"]) == ("", "unsure")
    assert (row["camera_movement"], row["camera_movement_source"]) == ("", "person")


def test_the_table_has_timecode_where_it_names_one_frame(tmp_path: Path) -> None:
    drop_frame = replace(FILM, frame_rate=Fraction(30_000, 1001), start_timecode="00:59:59;28")
    for film, timecodes in (
        (FILM, ("01:00:00:00", "01:00:01:00")),
        (replace(FILM, start_timecode=""), ("00:00:00:00", "00:00:01:00")),
        (replace(FILM, frames=100_000), ("", "")),  # 01:00:00:00 is also inside the film
        (replace(FILM, frame_rate=Fraction(24)), ("01:00:00:00", "01:00:01:00")),
        (replace(FILM, frame_rate=Fraction(12)), ("", "")),  # not the rate at which the shots are shown
        (drop_frame, ("", "")),
        (replace(FILM, start_timecode="23:59:59:00"), ("", "")),
    ):
        (row,) = csv.DictReader(io.StringIO(sheet_table(ShotSheet([film], SHEET.shots))))
        assert (row["start_timecode"], row["end_timecode"]) == timecodes
    assert drop_frame.timecode(24) == "01:00:00;22"


def test_a_folder_without_a_complete_sheet_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSheet, match="no films were labelled there"):
        read_sheet(tmp_path)
    write_sheet(tmp_path, SHEET)
    (tmp_path / SHOTS).write_text("{", encoding="utf-8")
    with pytest.raises(BadSheet, match="line 1"):
        read_sheet(tmp_path)
    (tmp_path / SHOTS).unlink()
    with pytest.raises(BadSheet, match=r"has no shots\.jsonl; label the films again"):
        read_sheet(tmp_path)
    (tmp_path / FACTS).write_text('{"schema": 1, "films": [{}]}', encoding="utf-8")
    with pytest.raises(BadSheet, match=r"labels\.json is broken: KeyError\('frame_rate'\); label the films again"):
        read_sheet(tmp_path)
    (tmp_path / FACTS).write_text('{"schema": 99}', encoding="utf-8")
    with pytest.raises(BadSheet, match="schema 99"):
        read_sheet(tmp_path)
    (tmp_path / FACTS).write_text("[]", encoding="utf-8")
    with pytest.raises(BadSheet, match="schema None"):
        read_sheet(tmp_path)
    with pytest.raises(BadSheet, match="no films were labelled there"):
        read_sheet(tmp_path / FACTS)
