"""The annotation table: supported formats, and defects that name line and column of every invalid cell."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from data_pipeline.annotations.annotation_table import AnnotatedRange, plain_name, plain_stem, read_annotations
from data_pipeline.annotations.columns import TableRefused
from data_pipeline.annotations.row_times import TimeRole
from data_pipeline.annotations.time_notation import TableTime
from data_pipeline.defects import Defect, DefectKind
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support import REPOSITORY

HEADER = "film_id,media,start,end,still,shot_size,lighting_condition,camera_movement,shot_id,licence"


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for name in ("heat.mp4", "alien.mp4", "still.jpg"):
        (tmp_path / name).touch()
    return tmp_path


def read(table: Path) -> tuple[list[AnnotatedRange], list[Defect]]:
    defects: list[Defect] = []
    return read_annotations(table, table.parent, defects), defects


def read_text(films: Path, text: str, name: str = "table.csv") -> tuple[list[AnnotatedRange], list[Defect]]:
    (films / name).write_text(text, encoding="utf-8")
    return read(films / name)


def one_row(films: Path, row: str) -> tuple[list[AnnotatedRange], list[Defect]]:
    return read_text(films, f"{HEADER}\n{row}\n")


EXPECTED = AnnotatedRange(
    2,
    "Heat",
    "heat.mp4",
    {
        TimeRole.START: (TableTime("start", "83.5", seconds=83.5),),
        TimeRole.END: (TableTime("end", "0:01:26.250", seconds=86.25),),
    },
    {
        "shot_size": "Medium Close Up",
        "lighting_condition": "Backlight, Silhouette",
        "camera_movement": "Firstly Pan left, then Tilt up",
    },
    "heat-7",
    "CC0",
)
CELLS: dict[str, Any] = {
    "film_id": "Heat",
    "media": "heat.mp4",
    "start": 83.5,
    "end": "0:01:26.250",
    "shot_size": "mcu",
    "lighting": ["backlight", "silhouette"],
    "camera_movement": "First Pan left, then tilt up.",
    "shot_id": "Heat 7",
    "licence": "CC0",
    "remark": "an unknown column",
}


@pytest.mark.parametrize("separator", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_csv_of_any_separator_reads_the_same(films: Path, separator: str) -> None:
    cells = CELLS | {"lighting": "backlight and silhouette", "start": "83,5" if separator != "," else "83.5"}
    quoted = [f'"{cell}"' if separator in str(cell) else str(cell) for cell in cells.values()]
    rows, defects = read_text(films, "\ufeff" + separator.join(cells) + "\r\n" + separator.join(quoted) + "\r\n")
    assert [(row.labels, row.shot_id, row.media) for row in rows] == [
        (EXPECTED.labels, EXPECTED.shot_id, EXPECTED.media)
    ]
    assert [[time.seconds for time in times] for times in rows[0].times.values()] == [[83.5], [86.25]]
    assert [defect.kind for defect in defects] == [DefectKind.UNREAD_COLUMN]


def test_json_lines_and_parquet_read_the_same(films: Path) -> None:
    rows, defects = read_text(films, "\n" + json.dumps(CELLS) + "\n", "table.jsonl")
    assert rows == [EXPECTED]
    assert [(defect.kind, defect.detail) for defect in defects] == [(DefectKind.UNREAD_COLUMN, "'remark'")]
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist([{}, CELLS], pyarrow.Table.from_pylist([CELLS]).schema), films / "t.parquet"
    )
    assert read(films / "t.parquet") == ([EXPECTED], [replace(defects[0], path="t.parquet")])


def test_the_example_in_the_docs_is_a_valid_table(films: Path) -> None:
    table = REPOSITORY / "docs" / "annotations_example.csv"
    for line in table.read_text().splitlines()[1:]:
        medium = films / line.split(",")[1]
        medium.parent.mkdir(exist_ok=True)
        medium.touch()
    defects: list[Defect] = []
    rows = read_annotations(table, films, defects)
    assert len(rows) == len(table.read_text().splitlines()) - 1
    assert not defects
    assert {row.is_still_file for row in rows} == {True, False}


@pytest.mark.parametrize(
    ("row", "column", "kind"),
    [
        (",heat.mp4,1,2,,CU", "film_id", DefectKind.BAD_ROW),
        ("Heat,,1,2,,CU", "media", DefectKind.BAD_ROW),
        ("Heat,../heat.mp4,1,2,,CU", "media", DefectKind.BAD_ROW),
        ("Heat,/etc/passwd,1,2,,CU", "media", DefectKind.BAD_ROW),
        ("Heat,C:\\heat.mp4,1,2,,CU", "media", DefectKind.BAD_ROW),
        (f"Heat,{'x' * 300}.mp4,1,2,,CU", "media", DefectKind.BAD_ROW),
        (f"Heat,heat.mp4,1,2,,CU,,,{'x' * 300}", "shot_id", DefectKind.BAD_ROW),
        ("Heat,ronin.mp4,1,2,,CU", "media", DefectKind.MISSING_MEDIUM),
        ("Heat,heat.mp4,soon,2,,CU", "start", DefectKind.BAD_ROW),
        ("Heat,heat.mp4,-1,2,,CU", "start", DefectKind.BAD_ROW),
        ("Heat,heat.mp4,1,nan,,CU", "end", DefectKind.BAD_ROW),
        ("Heat,heat.mp4,1,0:99:00,,CU", "end", DefectKind.BAD_ROW),
        ("Heat,heat.mp4,3,2,,CU", "end", DefectKind.BAD_ROW),
        ("Heat,heat.mp4,,2,,CU", "start", DefectKind.BAD_ROW),
        ("Heat,heat.mp4,1,2,5,CU", "still", DefectKind.BAD_ROW),
        ("Heat,still.jpg,1,,,CU", "start", DefectKind.BAD_ROW),
        ("Heat,still.jpg,,,,,,Arc", "media", DefectKind.BAD_ROW),
        ("Heat,heat.mp4,1,2,,", "", DefectKind.NOT_LABELLED),
        ("Heat,heat.mp4,1,2,,CU,,,,,,,surplus", "", DefectKind.BAD_ROW),
    ],
)
def test_an_invalid_cell_drops_its_row_and_names_line_and_column(
    films: Path, row: str, column: str, kind: DefectKind
) -> None:
    rows, defects = one_row(films, row)
    assert rows == []
    assert [(defect.kind, defect.line, defect.loses_row) for defect in defects] == [(kind, 2, True)]
    assert f"column {column}:" in defects[0].detail or not column


def test_an_unknown_label_drops_only_itself(films: Path) -> None:
    rows, defects = one_row(films, 'Heat,heat.mp4,1,2,,Gigantic,backlight,"Arc, Arc"')
    assert rows[0].labels == {"lighting_condition": "Backlight"}
    assert [(defect.kind, defect.loses_row) for defect in defects[:2]] == [(DefectKind.UNKNOWN_LABEL, False)] * 2
    assert "column shot_size" in defects[0].detail and "'Gigantic'" in defects[0].detail


def test_a_row_without_valid_labels_is_counted_as_dropped_once(films: Path) -> None:
    rows, defects = one_row(films, "Heat,heat.mp4,1,2,,Gigantic")
    assert rows == []
    assert [defect.loses_row for defect in defects] == [False, True, False]
    assert defects[2].kind is DefectKind.UNKNOWN_TERM


def test_shot_ids_are_unique_and_generated_if_none_is_given(films: Path) -> None:
    rows, defects = read_text(
        films,
        f"{HEADER}\nHeat,heat.mp4,1,2,,CU,,,a\nHeat,heat.mp4,3,4,,CU,,,A\n"
        "Heat,heat.mp4,5,6,,CU\nHeat,heat.mp4,5,7,,WS\nAlien,alien.mp4,5,6,,CU\nHeat,still.jpg,,,,CU\n",
    )
    assert [row.shot_id for row in rows] == ["a", "heat-00005000", "alien-00005000", "heat-still"]
    assert [(defect.line, defect.loses_row) for defect in defects] == [(3, True), (5, True)]
    assert "line 2" in defects[0].detail


def test_names_in_other_alphabets_stay_distinct() -> None:
    assert len({plain_name(text) for text in ("影", "活", "", "!!!", "???", "-")}) == 6
    assert plain_name("") == "" and plain_name("What?!") == "what"
    assert plain_name(".Hidden/../x") == "hidden-..-x"


def test_labels_are_split_by_the_media_kind_of_their_questions(films: Path) -> None:
    (row,), _ = one_row(films, "Heat,heat.mp4,1,2,,CU,,Arc")
    assert row.labels_of(MediaKind.CLIP) == {"camera_movement": "Arc"}
    assert row.labels_of(MediaKind.STILL) == {"shot_size": "Close Up"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"film_id,shot_size\nHeat,CU\n", "no column media"),
        ("t.csv", b"film_id,media,camera_movment\n", "call it camera_movement"),
        ("t.csv", b"film_id,media\nHeat,heat.mp4\n", "no column of labels"),
        ("t.csv", b"film_id,media,shot_size,shot size\n", "twice"),
        ("t.csv", b"film_id,media,shot_size\n", "no rows"),
        ("t.csv", b"", "no column"),
        ("t.csv", b"film_id,media,shot_size\nL\xe9on,heat.mp4,CU\n", "not UTF-8"),
        ("t.csv", b'film_id,media,shot_size\n"Heat,heat.mp4,CU\n', "line 2"),
        ("t.jsonl", b"[1]\n", "no column"),
        ("t.parquet", b"PAR1", "not a readable parquet"),
        ("t.xlsx", b"", "none of .csv"),
        ("absent.csv", None, "there is no"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(films: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (films / name).write_bytes(content)
    with pytest.raises(TableRefused, match=message):
        read(films / name)


def test_invalid_json_lines_drop_only_themselves(films: Path) -> None:
    text = f'{json.dumps(CELLS)}\n{{"film_id": \n[1]\n{json.dumps(CELLS | {"start": {"at": 1}})}\n'
    rows, defects = read_text(films, text, "t.jsonl")
    assert len(rows) == 1
    lost = [(defect.kind, defect.line) for defect in defects if defect.loses_row]
    assert lost == [(DefectKind.BAD_ROW, line) for line in (2, 3, 4)]


def test_a_missing_file_is_named_with_the_one_that_is_probably_meant(films: Path) -> None:
    for written, meant in (("HEAT.MP4", "; is it heat.mp4?"), ("hcat.mp4", "; is it heat.mp4?"), ("ronin.mov", "")):
        _, (defect, *_others) = one_row(films, f"Heat,{written},1,2,,CU")
        assert defect.detail == f"column media: no such file in {films}{meant}"


@pytest.mark.parametrize(
    ("path", "name"),
    [("Reel 1/Heat.1995.mov", "reel-1-heat.1995"), ("..mp4", "mp4"), ("a.b/c", "a.b-c"), ("x/..mp4", "x-..mp4")],
)
def test_a_path_gives_the_same_name_on_every_python(path: str, name: str) -> None:
    assert plain_stem(path) == name
