"""Corrections as files, merged, and set in sheets: also in those of another model or with other cuts."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lmms_eval_shotbench.labelling.apply_corrections import apply_corrections, lost_text, overlay
from lmms_eval_shotbench.labelling.corrections import (
    CORRECTIONS,
    BadCorrections,
    Correction,
    corrections_csv,
    merge_corrections,
    read_corrections,
    stored_corrections,
)
from lmms_eval_shotbench.labelling.exports.caption_template import BadCaptionTemplate, read_caption_template
from lmms_eval_shotbench.labelling.label_cell import PERSON, LabelCell, Status
from lmms_eval_shotbench.labelling.label_files import write_label_files
from lmms_eval_shotbench.labelling.shot_sheet import SHOTS, TABLE, ShotSheet, read_sheet
from lmms_eval_shotbench.vocabulary import CAMERA_ANGLE, CAMERA_MOVEMENT, LIGHTING_CONDITION, SHOT_SIZE
from tests.support.label_sheets import MODEL, drawn_sheet

EARLY, LATE = datetime(2026, 11, 30, 10, tzinfo=UTC), datetime(2026, 11, 30, 11, tzinfo=UTC)
CLOSE = Correction("film-0-0002", SHOT_SIZE.slug, "Close Up", Status.LABELLED, EARLY, "harbour", 2.0, 4.0)
HEADER = "shot_id,dimension,label,status,time\n"


@pytest.fixture
def sheet(tmp_path: Path) -> ShotSheet:
    return drawn_sheet(tmp_path, 4, media=False)


def saved(folder: Path, *corrections: Correction, name: str = "saved.csv") -> Path:
    path = folder / name
    path.write_text(corrections_csv(corrections), encoding="utf-8")
    return path


def test_corrections_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    several = [
        CLOSE,
        replace(CLOSE, dimension=LIGHTING_CONDITION.slug, label="Backlight, Silhouette"),
        replace(CLOSE, dimension=CAMERA_MOVEMENT.slug, label="Firstly Pan left, then Tilt up", time=LATE),
        Correction("still-1", CAMERA_ANGLE.slug, "", Status.NONE, LATE, "a still, with a comma"),
    ]
    assert read_corrections(saved(tmp_path, *several)) == several


def test_a_file_written_by_hand_needs_neither_film_nor_range(tmp_path: Path, sheet: ShotSheet) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"{HEADER}film-0-0001,shot size,ECU,labelled,2026-11-30T10:00:00\n", encoding="utf-8-sig")
    (one,) = read_corrections(path, sheet)
    assert (one.dimension, one.label, one.time) == (SHOT_SIZE.slug, "Extreme Close Up", EARLY)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("film-0-0009,shot_size,Wide,labelled,2026-11-30", "line 2: there is no shot 'film-0-0009'; copy"),
        ("film-0-0001,shot_size,Eye level,labelled,2026-11-30", "line 2: 'Eye level' is no term of Shot Size; its"),
        ("film-0-0001,colour,Wide,labelled,2026-11-30", "line 2: 'colour' is no dimension; use one of"),
        ("film-0-0001,shot_size,Wide,sure,2026-11-30", "line 2: 'sure' is no status; write labelled, none, unsure"),
        ("film-0-0001,shot_size,,labelled,2026-11-30", "the status is labelled and the label ''; write a term"),
        ("film-0-0001,shot_size,Wide,none,2026-11-30", "the status is none and the label 'Wide'; delete the label"),
        ("film-0-0001,shot_size,Wide,labelled,yesterday", "'yesterday' is no time; write one such as"),
        ("film-0-0001,lighting_condition,Backlight,Silhouette,labelled,2026-11-30", "quote labels that contain commas"),
        (",shot_size,Wide,labelled,2026-11-30", "the shot_id is empty"),
    ],
)
def test_a_bad_line_is_named_with_what_to_do(tmp_path: Path, sheet: ShotSheet, line: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(f"{HEADER}{line}\n", encoding="utf-8")
    with pytest.raises(BadCorrections) as refused:
        apply_corrections(tmp_path, path)
    assert message in str(refused.value) and "Nothing was applied" in str(refused.value)
    assert read_sheet(tmp_path) == sheet and not (tmp_path / CORRECTIONS).exists()


def test_other_files_are_refused(tmp_path: Path, sheet: ShotSheet) -> None:
    with pytest.raises(BadCorrections, match="line 1: no column dimension, label, status, time"):
        read_corrections(tmp_path / TABLE)
    with pytest.raises(BadCorrections, match="does not exist; save it on the page"):
        read_corrections(tmp_path / "absent.csv")


def test_a_movement_of_a_still_is_refused(tmp_path: Path, sheet: ShotSheet) -> None:
    still = replace(sheet.shots[0].shot, start_seconds=None, end_seconds=None)
    stills = replace(sheet, shots=[replace(sheet.shots[0], shot=still)])
    path = saved(tmp_path, Correction(still.shot_id, CAMERA_MOVEMENT.slug, "Push in", Status.LABELLED, EARLY))
    with pytest.raises(BadCorrections, match="is a still, which has no camera_movement"):
        read_corrections(path, stills)


def test_of_each_cell_the_latest_correction_counts() -> None:
    later = replace(CLOSE, label="Medium", time=LATE)
    other = replace(CLOSE, dimension=CAMERA_ANGLE.slug, label="Low angle")
    assert merge_corrections([later, other], [CLOSE]) == [other, later]
    again = replace(CLOSE, label="Wide")
    assert merge_corrections([CLOSE], [again]) == [again]


def test_a_corrected_cell_is_a_persons_and_keeps_the_models_label(sheet: ShotSheet) -> None:
    model = sheet.shots[1].cells[SHOT_SIZE.slug]
    corrected = overlay(sheet, [CLOSE]).sheet.shots[1].cells[SHOT_SIZE.slug]
    assert (corrected.status, corrected.label, corrected.source) == (Status.LABELLED, "Close Up", PERSON)
    assert (corrected.confidence, corrected.agreement) == (1.0, None)
    assert corrected.alternatives == ((model.label, model.confidence), *model.alternatives)
    again = overlay(sheet, [CLOSE, replace(CLOSE, label="Wide", time=LATE)]).sheet.shots[1].cells[SHOT_SIZE.slug]
    assert again.label == "Wide" and again.alternatives == corrected.alternatives


def test_none_and_unsure_have_no_label_and_unsure_has_no_confidence(sheet: ShotSheet) -> None:
    for status, confidence in ((Status.NONE, 1.0), (Status.UNSURE, None)):
        cell = overlay(sheet, [replace(CLOSE, label="", status=status)]).sheet.shots[1].cells[SHOT_SIZE.slug]
        assert (cell.status, cell.table_label, cell.confidence) == (status, "", confidence)


def test_contradictions_are_found_again_after_a_correction(sheet: ShotSheet) -> None:
    cells = {
        "shot_framing": LabelCell(Status.LABELLED, "Insert", 0.9, source=MODEL),
        "lighting_type": LabelCell(Status.LABELLED, "Moonlight", 0.9, source=MODEL, contradictions=("an old one",)),
    }
    before = replace(sheet, shots=[replace(sheet.shots[1], cells=cells)])
    framed = overlay(before, [replace(CLOSE, dimension="lighting_type", label="Moonlight, Sunny")]).sheet.shots[0].cells
    assert "Moonlight and Sunny" in framed["lighting_type"].contradictions[0]
    settled = overlay(before, [replace(CLOSE, dimension="lighting_type", label="Sunny")]).sheet.shots[0].cells
    assert settled["lighting_type"].contradictions == ()


def test_labels_of_another_model_never_replace_a_persons(tmp_path: Path, sheet: ShotSheet) -> None:
    apply_corrections(tmp_path, saved(tmp_path, CLOSE))
    relabelled = drawn_sheet(tmp_path, 4, media=False)
    done = overlay(relabelled, stored_corrections(tmp_path))
    assert done.sheet.shots[1].cells[SHOT_SIZE.slug].label == "Close Up" and not done.lost
    assert done.sheet.shots[0] == relabelled.shots[0]


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        (2.0, 4.0, 1),
        (2.4, 4.0, 1),
        (2.0, 4.9, 1),
        (3.0, 5.0, None),
        (1.0, 6.0, None),
        (4.1, 5.9, 2),
        (90.0, 92.0, None),
    ],
)
def test_after_other_cuts_a_correction_follows_its_range(
    sheet: ShotSheet, start: float, end: float, found: int | None
) -> None:
    done = overlay(sheet, [replace(CLOSE, start=start, end=end)])
    by_person = [at for at, row in enumerate(done.sheet.shots) if row.cells[SHOT_SIZE.slug].is_by_person]
    assert by_person == ([] if found is None else [found])
    assert len(done.lost) == (found is None) and len(done.applied) == (found is not None)


def test_a_shot_of_the_same_number_elsewhere_is_not_meant(sheet: ShotSheet) -> None:
    elsewhere = [replace(CLOSE, start=40.0, end=42.0), replace(CLOSE, film_id="another film", time=LATE)]
    done = overlay(sheet, elsewhere)
    assert done.sheet == sheet and done.lost == elsewhere
    assert lost_text(elsewhere[0]) == (
        "film-0-0002 from 40.00 to 42.00 s of harbour: shot_size Close Up; no shot is there now"
    )


def test_applying_writes_all_files_that_are_there_and_all_corrections(tmp_path: Path, sheet: ShotSheet) -> None:
    write_label_files(tmp_path, sheet, captions=False)
    other = replace(CLOSE, dimension=CAMERA_ANGLE.slug, label="", status=Status.NONE)
    lost = replace(CLOSE, start=90.0, end=91.0)
    first = apply_corrections(tmp_path, saved(tmp_path, CLOSE, lost))
    second = apply_corrections(tmp_path, saved(tmp_path, other, replace(CLOSE, label="Medium", time=LATE)))
    assert (first.read, first.cells, first.lost) == (2, 1, [lost])
    assert (second.read, second.cells, second.lost) == (2, 2, [lost])  # it stays in the file
    rows = list(csv.DictReader((tmp_path / TABLE).open(encoding="utf-8")))
    assert (rows[1]["shot_size"], rows[1]["shot_size_source"], rows[1]["camera_angle_status"]) == (
        "Medium",
        PERSON,
        "none",
    )
    assert read_sheet(tmp_path).shots[1].cells[SHOT_SIZE.slug].label == "Medium"
    assert '[["labelled","Medium",1.0,null' in (tmp_path / "labels.html").read_text(encoding="utf-8")
    assert PERSON in (tmp_path / "timelines" / "harbour.otio").read_text(encoding="utf-8")
    assert not (tmp_path / "captions").exists()
    assert len(stored_corrections(tmp_path)) == 3


def test_captions_keep_their_wording_when_corrections_are_applied(tmp_path: Path) -> None:
    sheet = drawn_sheet(tmp_path, 2)
    template = replace(read_caption_template(), sentence="my style, {shot}.")
    write_label_files(tmp_path, sheet, timelines=False, page=False, template=template)
    shot = sheet.shots[0].shot
    correction = replace(CLOSE, shot_id=shot.shot_id, film_id="", label="Wide")
    apply_corrections(tmp_path, saved(tmp_path, correction))
    text = (tmp_path / "captions" / "clips" / f"{shot.shot_id}.txt").read_text(encoding="utf-8")
    assert text.startswith("my style, a wide ")
    (tmp_path / "captions" / "template.json").write_text("{}")
    with pytest.raises(BadCaptionTemplate, match=r"template\.json: a template without 'style'; run"):
        apply_corrections(tmp_path, saved(tmp_path, correction))


def test_corrections_of_other_films_are_refused(tmp_path: Path, sheet: ShotSheet) -> None:
    with pytest.raises(BadCorrections, match="none of its shots is in"):
        apply_corrections(tmp_path, saved(tmp_path, replace(CLOSE, film_id="another film")))
    assert not (tmp_path / CORRECTIONS).exists()


def test_applying_a_file_twice_changes_nothing(tmp_path: Path, sheet: ShotSheet) -> None:
    path = saved(tmp_path, CLOSE)
    write_label_files(tmp_path, sheet)
    names = (CORRECTIONS, SHOTS, TABLE, "labels.html", "timelines/harbour.edl")
    done = [(apply_corrections(tmp_path, path), [(tmp_path / name).read_bytes() for name in names]) for _ in range(2)]
    assert done[0] == done[1]
