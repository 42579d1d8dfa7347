"""`shotbench data shots`: a table to fill, the key frames, the timelines, and what is never overwritten."""

from __future__ import annotations

import csv
import io
from fractions import Fraction
from pathlib import Path

import numpy
import pytest
from PIL import Image

from data_pipeline.annotations.annotation_table import read_annotations
from data_pipeline.defects import Defect
from data_pipeline.films.film_sources import find_films
from data_pipeline.import_annotations import import_annotations
from lmms_eval_shotbench.cli import main
from tests.support.made_films import MadeFilm, number_on

FILM = MadeFilm(rate=Fraction(25), timecode="10:00:00:00")  # cuts at 36 and 84 of 120 frames
COMMAND = ["data", "shots", "films", "--out", "shots.csv", "--workers", "0"]


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    FILM.write(tmp_path / "films" / "sub" / "heat.mp4")
    return tmp_path


def rows_of(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.read_text())))


def test_every_shot_is_a_row_with_times_timecode_and_key_frame(team: Path) -> None:
    assert main(COMMAND) == 0
    rows = rows_of(team / "shots.csv")
    assert [(row["film_id"], row["media"], row["shot_id"]) for row in rows] == [
        ("sub-heat", "sub/heat.mp4", f"sub-heat-{number:04}") for number in (1, 2, 3)
    ]
    times = [[float(row[name]) * 25 for name in ("start", "still", "end")] for row in rows]
    assert times == [pytest.approx(ends) for ends in ([0, 18, 36], [36, 60, 84], [84, 102, 120])]
    assert [row["end_timecode"] for row in rows] == ["10:00:01:11", "10:00:03:09", "10:00:04:20"]
    page = (team / "shots_shots" / "page.html").read_text()
    for row, (_, still, _) in zip(rows, times, strict=True):
        picture = f"media/sub-heat/{row['shot_id']}.jpg"
        assert f'src="{picture}"' in page and f"{row['start_timecode']} to {row['end_timecode']}" in page
        assert number_on(numpy.asarray(Image.open(team / "shots_shots" / picture))) == round(still)
    assert not list(team.rglob("shots_shots/**/*.mp4"))


def test_the_filled_table_is_read_and_not_replaced_without_being_asked(
    team: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(COMMAND) == 0 and main(COMMAND) == 0
    empty = (team / "shots.csv").read_text()
    rows = rows_of(team / "shots.csv")
    for row, size in zip(rows, ("CU", "long shot", "MCU"), strict=True):
        row["shot_size"] = size
    with (team / "shots.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    defects: list[Defect] = []
    read = read_annotations(team / "shots.csv", team / "films", defects)
    assert [row.labels for row in read] == [{"shot_size": size} for size in ("Close Up", "Wide", "Medium Close Up")]
    assert not defects
    assert main(COMMAND) == 2
    assert "a person may have filled it" in capsys.readouterr().err
    assert rows_of(team / "shots.csv") == rows
    in_latin_1 = (team / "shots.csv").read_text().replace("long shot", "Totale, f\xfcr sp\xe4ter").encode("latin-1")
    (team / "shots.csv").write_bytes(in_latin_1)
    assert main(COMMAND) == 2
    assert "a person may have filled it" in capsys.readouterr().err
    assert (team / "shots.csv").read_bytes() == in_latin_1
    assert main([*COMMAND, "--overwrite"]) == 0
    assert (team / "shots.csv").read_text() == empty


def test_labels_that_an_editor_adds_to_the_timelines_come_back(team: Path) -> None:
    assert main(COMMAND) == 0
    FILM.write(team / "films" / "heat.mp4", shots=FILM.shots[:2])  # another film of the same name
    sources = find_films([team / "films"], team / "films")
    timelines = sorted((team / "shots_shots" / "timelines").iterdir())
    assert [path.suffix for path in timelines] == [".edl", ".fcpxml", ".otio", ".xml"]
    for path in timelines:
        done = import_annotations([path], films=sources)
        assert [row["start"] for row in done.rows] == ["0.000000", "1.440000", "3.360000"] and not done.defects, path
        path.write_text(path.read_text().replace("no label", "CU; Pan left", 1), encoding="utf-8")
        first, *others = import_annotations([path], films=sources).rows
        assert (first["shot_size"], first["camera_movement"]) == ("Close Up", "Pan left"), path
        assert all("shot_size" not in row for row in others)


def test_a_film_that_cannot_be_read_is_named_and_the_others_are_in_the_table(
    team: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (team / "films" / "broken.mp4").write_bytes(b"no film")
    assert main(COMMAND) == 1
    captured = capsys.readouterr()
    assert "broken.mp4: cannot be decoded" in captured.err and "films: 1 of 2; shots: 3" in captured.out
    assert len(rows_of(team / "shots.csv")) == 3


def test_a_table_of_another_origin_is_not_replaced(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (team / "shots.csv").write_text("mine")
    assert main(COMMAND) == 2
    assert (team / "shots.csv").read_text() == "mine" and not (team / "shots_shots").exists()
