"""Tables of labelled films as annotation tables: what has no label, and whose labels count (`--only-source`)."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy
import pytest
from PIL import Image

from data_pipeline.annotations.annotation_table import AnnotatedRange, TableOptions, read_annotations
from data_pipeline.annotations.columns import TableRefused
from data_pipeline.defects import Defect, DefectKind
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.labelling.apply_corrections import overlay
from lmms_eval_shotbench.labelling.corrections import Correction
from lmms_eval_shotbench.labelling.label_cell import PERSON, LabelCell, Status
from lmms_eval_shotbench.labelling.shot import FilmFacts, FilmShot
from lmms_eval_shotbench.labelling.shot_sheet import TABLE, SheetRow, ShotSheet, write_sheet
from tests.support.drawn_shots import drawn_film
from tests.support.label_sheets import MODEL
from tests.support.made_films import MadeFilm

SURE = LabelCell(Status.LABELLED, "Close Up", 0.9, 1.0, MODEL)
NOTHING = LabelCell(Status.NONE, "", 0.9, 1.0, MODEL)
GUESS = LabelCell(Status.UNSURE, "Dutch angle", 0.4, 1.0, MODEL)


@pytest.fixture
def labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShotSheet:
    """A film of three shots: one is corrected, one labelled by a model, one has no label; written to LABELS."""
    monkeypatch.chdir(tmp_path)
    film = MadeFilm()
    film.write(Path("FILMS/harbour.mp4"))
    facts = FilmFacts("harbour", "harbour.mp4", "/films/harbour.mp4", film.rate, film.frames, *film.size)
    ends = [*film.cuts, film.frames]
    rows = []
    for number, (start, end) in enumerate(zip([0, *film.cuts], ends, strict=True), start=1):
        times = (float(start / film.rate), float(end / film.rate))
        shot = FilmShot(f"harbour-{number}", "harbour", number, "", "", start, end, *times)
        rows.append(SheetRow(shot, {"shot_size": SURE, "camera_angle": GUESS, "composition": NOTHING}))
    rows[2] = replace(rows[2], cells={"shot_size": NOTHING, "camera_angle": GUESS})
    corrected = Correction("harbour-1", "camera_angle", "Low angle", Status.LABELLED, datetime.now(UTC))
    sheet = overlay(ShotSheet([facts], rows), [corrected]).sheet
    write_sheet(Path("LABELS"), sheet)
    return sheet


def read(options: TableOptions) -> tuple[list[AnnotatedRange], list[Defect]]:
    defects: list[Defect] = []
    return read_annotations(Path("LABELS") / TABLE, Path("FILMS"), defects, options), defects


def test_the_table_of_a_sheet_passes_the_check(labelled: ShotSheet, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "films", "FILMS", "--table", f"LABELS/{TABLE}", "--check", "--workers", "0"]) == 0
    printed = capsys.readouterr()
    assert "rows: 3; can be cut: 2; cannot: 1" in printed.out
    assert "1 left out: shot without a label" in printed.err and "column that is not read" not in printed.err


def test_confidence_source_and_status_are_kept_with_each_label(labelled: ShotSheet) -> None:
    rows, _ = read(TableOptions())
    assert rows[0].labels == {"shot_size": "Close Up", "camera_angle": "Low angle"}
    assert rows[0].provenance == {
        "shot_size_confidence": "0.900",
        "shot_size_agreement": "1.000",
        "shot_size_source": MODEL,
        "shot_size_status": "labelled",
        "camera_angle_confidence": "1.000",
        "camera_angle_source": PERSON,
        "camera_angle_status": "labelled",
    }


def test_only_labels_of_the_given_sources_count(labelled: ShotSheet) -> None:
    rows, defects = read(TableOptions(only_sources=(PERSON,)))
    assert [(row.shot_id, row.labels) for row in rows] == [("harbour-1", {"camera_angle": "Low angle"})]
    assert [(defect.line, defect.kind, defect.loses_row) for defect in defects if defect.line] == [
        (2, DefectKind.OTHER_SOURCE, False),
        (3, DefectKind.OTHER_SOURCE, False),
        (3, DefectKind.OTHER_SOURCE, True),
        (4, DefectKind.NO_LABEL, True),
    ]
    assert defects[0].detail == f"column shot_size: Close Up is by {MODEL}"
    both, _ = read(TableOptions(only_sources=(PERSON, MODEL)))
    assert both == read(TableOptions())[0]


def test_a_table_without_sources_is_refused_if_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("film_id,media,shot_size\nheat,heat.mp4,Wide\n")
    with pytest.raises(TableRefused, match="has no column of sources such as shot_size_source; leave out"):
        read_annotations(tmp_path / "table.csv", tmp_path, [], TableOptions(only_sources=(PERSON,)))


def test_labels_of_other_sources_are_counted_and_listed_with_their_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    films = tmp_path / "FILMS"
    films.mkdir()
    grain = numpy.random.default_rng(0).integers(-40, 40, (180, 320, 3))
    lines = []
    for film in range(4):
        for number, shot in enumerate(drawn_film(films, film, 6)):
            picture = numpy.asarray(Image.open(films / shot.media_path).resize((320, 180))) + grain
            Image.fromarray(picture.clip(0, 255).astype("uint8")).save(films / shot.media_path)
            size, angle = shot.labels["shot_size"], shot.labels["camera_angle"]
            by = PERSON if number % 3 else MODEL
            lines.append([shot.film_id, shot.media_path, size, by, angle, MODEL])
    names = ["film_id", "media", "shot_size", "shot_size_source", "camera_angle", "camera_angle_source"]
    with Path("table.csv").open("w", newline="") as table:
        csv.writer(table).writerows([names, *lines])
    command = ["data", "films", "FILMS", "--table", "table.csv", "--out", "out", "--workers", "0", "--no-gate"]
    assert main([*command, "--only-source", PERSON, "--splits", "test:1", "--unbalanced"]) == 0
    printed = capsys.readouterr().err
    assert "32 noted: label of another source" in printed and "8 left out: label of another source" in printed
    with Path("out/rows.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["questions"] for row in rows] == ["0" if line[3] == MODEL else "1" for line in lines]
    assert all(
        f"label of another source: column camera_angle: {line[4]} is by" in row["reasons"]
        for row, line in zip(rows, lines, strict=True)
    )
    assert "--only-source 'person'" in Path("out/README.md").read_text()
