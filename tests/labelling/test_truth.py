"""Truth tables: the studio's are read back as written, people's are read as they write them, wrong cells are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmms_eval_shotbench.labelling.label_cell import LabelCell, Status
from lmms_eval_shotbench.labelling.scores.match_truth import is_true
from lmms_eval_shotbench.labelling.shot import FilmFacts, FilmShot
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow, ShotSheet, sheet_table
from lmms_eval_shotbench.labelling.truth import (
    NOTHING,
    UNKNOWN,
    BadTruth,
    ShotTruth,
    Transition,
    TruthRow,
    TruthStatus,
    read_truth,
    truth_table,
)
from lmms_eval_shotbench.vocabulary import CAMERA_ANGLE, LENS_SIZE, LIGHTING_TYPE, SHOT_SIZE, slugs

LIGHT = ShotTruth(TruthStatus.LABELLED, "Artificial light, Practical light", frozenset({"Tungsten"}))
BETWEEN = ShotTruth(TruthStatus.UNCERTAIN, possible=frozenset({"Wide", "Ultra Wide / Fisheye"}))


def table(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    truths = dict.fromkeys(slugs(), UNKNOWN) | {"lighting_type": LIGHT, "camera_angle": NOTHING, "lens_size": BETWEEN}
    rows = [
        TruthRow("a, b", "a, b.mp4", 0.0, 1.5, "one", Transition.START, None, truths),
        TruthRow("a, b", "a, b.mp4", 1.5, 2.25, "two", Transition.DISSOLVE, (1.25, 1.75), truths),
        TruthRow("a, b", "still.png", shot_id="three", truths=truths),
    ]
    assert read_truth(table(tmp_path, truth_table(rows))) == rows


def test_a_table_by_a_person_needs_only_labels(tmp_path: Path) -> None:
    text = (
        "\ufefffilm_id,media,start,end,shot_size,camera_angle\nf,f.mov,1:02.5,0:01:04,CU,none\nf,g.jpg,,,,low angle\n"
    )
    first, second = read_truth(table(tmp_path, text))
    assert (first.start, first.end, second.start) == (62.5, 64.0, None)
    assert first.of(SHOT_SIZE) == ShotTruth(TruthStatus.LABELLED, "Close Up") and first.of(CAMERA_ANGLE) == NOTHING
    assert second.of(SHOT_SIZE) == second.of(LENS_SIZE) == UNKNOWN
    assert second.of(CAMERA_ANGLE).terms(CAMERA_ANGLE) == {"Low angle"}


def test_of_light_a_person_names_one_term_and_says_nothing_of_others_that_may_be_true_too(tmp_path: Path) -> None:
    text = "film_id,media,lighting_type,shot_size\nf,f.jpg,Tungsten,CU\n"
    (row,) = read_truth(table(tmp_path, text))
    light = row.of(LIGHTING_TYPE)
    assert light.label == "Tungsten" and not light.excludes(LIGHTING_TYPE, "Artificial light")
    assert light.excludes(LIGHTING_TYPE, "LED") and row.of(SHOT_SIZE).excludes(SHOT_SIZE, "Wide")
    assert is_true(LIGHTING_TYPE, light, "Artificial light, Tungsten")
    assert not is_true(LIGHTING_TYPE, light, "Artificial light") and not is_true(LIGHTING_TYPE, light, "Tungsten, LED")
    judged = "film_id,media,lighting_type,lighting_type_status\nf,f.jpg,Tungsten,labelled\n"
    assert read_truth(table(tmp_path, judged))[0].of(LIGHTING_TYPE).excludes(LIGHTING_TYPE, "Artificial light")


def test_a_shot_has_one_line(tmp_path: Path) -> None:
    text = "film_id,media,start,end,shot_size\nf,f.mov,0,2,CU\nf,f.mov,2,4,CU\nf,f.mov,0:00,2.0,Wide\n"
    with pytest.raises(BadTruth, match=r"line 4: the same shot of f\.mov as line 2"):
        read_truth(table(tmp_path, text))


def test_the_table_of_a_shot_sheet_is_read_with_its_unsure_cells_uncertain(tmp_path: Path) -> None:
    cells = {"shot_size": LabelCell(Status.LABELLED, "Wide"), "camera_angle": LabelCell(Status.UNSURE, "Dutch angle")}
    film, shot = FilmFacts("f", "f.mov", "/f.mov"), FilmShot("f-1", "f", 1, start_seconds=0.0, end_seconds=2.0)
    (row,) = read_truth(table(tmp_path, sheet_table(ShotSheet([film], [SheetRow(shot, cells)]))))
    assert (row.shot_id, row.end, row.of(SHOT_SIZE).label, row.of(CAMERA_ANGLE)) == ("f-1", 2.0, "Wide", UNKNOWN)


def test_only_terms_that_are_neither_true_nor_possible_are_excluded() -> None:
    excluded = {term.name for term in LIGHTING_TYPE.terms if LIGHT.excludes(LIGHTING_TYPE, term.name)}
    assert {"Artificial light", "Practical light", "Tungsten"} == {term.name for term in LIGHTING_TYPE.terms} - excluded
    assert {term.name for term in LENS_SIZE.terms if BETWEEN.excludes(LENS_SIZE, term.name)} == {"Medium", "Long Lens"}
    assert NOTHING.excludes(CAMERA_ANGLE, "Dutch angle") and not UNKNOWN.excludes(CAMERA_ANGLE, "Dutch angle")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("film_id;media;shot_size\nf;f.mov;Close Up\n", "no column film_id and media; it must be CSV"),
        ("film_id,media,size\nf,f.mov,Close Up\n", r"no column dimension \(shot_size,"),
        ("film_id,media,shot_size\nf,f.mov,Medium\nf,f.mov,Closeish\n", "line 3, column shot_size: 'Closeish'"),
        ("film_id,media,shot_size\nf,,Medium\n", "line 2, column media: empty"),
        ("film_id,media,start,end,shot_size\nf,f.mov,00:00:01:12,2,Medium\n", "column start: '00:00:01:12' is no time"),
        ("film_id,media,start,end,shot_size\nf,f.mov,2,1,Medium\n", "the end after the start"),
        ("film_id,media,shot_size,shot_size_status\nf,f.mov,Medium,none\n", "'Medium' does not fit its status none"),
        ("film_id,media,shot_size,shot_size_status\nf,f.mov,Medium,sure\n", "'sure' is none of labelled, none"),
        ("film_id,media,transition,shot_size\nf,f.mov,wipe,Medium\n", "'wipe' is none of start, cut"),
    ],
)
def test_a_table_that_cannot_be_read_names_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadTruth, match=message):
        read_truth(table(tmp_path, text))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"\x00\x00\x00\xff\xc9")
    with pytest.raises(BadTruth, match=r"is not UTF-8: .*; save the truth table as CSV in UTF-8"):
        read_truth(tmp_path / "film.mp4")
    with pytest.raises(BadTruth, match="cannot be read: No such file"):
        read_truth(tmp_path / "missing.csv")
