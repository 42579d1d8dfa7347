"""The files that spreadsheets and people write: every row of them is a row, and nothing else is."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from data_pipeline.annotations.annotation_files import BrokenLine, read_table
from data_pipeline.annotations.annotation_table import read_annotations
from data_pipeline.annotations.columns import TableRefused
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.row_account import TableRow

HEADER = "film_id,media,start,end,shot_size"
ROWS = "Heat,heat.mp4,1.5,2.5,CU\nHeat,heat.mp4,3,4,WS\n"
EXPECTED = [
    {"film_id": "Heat", "media": "heat.mp4", "start": "1.5", "end": "2.5", "shot_size": "CU"},
    {"film_id": "Heat", "media": "heat.mp4", "start": "3", "end": "4", "shot_size": "WS"},
]


def rows_of(folder: Path, content: bytes, name: str = "table.csv") -> dict[int, object]:
    (folder / name).write_bytes(content)
    return dict(read_table(folder / name).rows)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f"{HEADER}\n{ROWS}", (2, 3)),
        (f"\n{HEADER}\n{ROWS}", (3, 4)),
        (f"\r\n  \r\n,,,,\r\n{HEADER}\r\n{ROWS}", (5, 6)),
        (f"sep=,\n{HEADER}\n{ROWS}", (3, 4)),
        (f'"sep=,"\n\n{HEADER}\n{ROWS}', (4, 5)),
        (f"# shot list of Heat, made by Ann\n# second comment\n{HEADER}\n# of reel 1\n{ROWS}# end\n", (5, 6)),
        (f"# comment\n\nsep=,\n# comment\n{HEADER}\n\n{ROWS}\n\n", (7, 8)),
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_that_are_no_rows_are_left_out_and_lines_keep_their_numbers(
    tmp_path: Path, text: str, lines: tuple[int, int], separator: str, encoding: str
) -> None:
    content = text.replace(",", separator).encode(encoding)
    assert rows_of(tmp_path, content) == dict(zip(lines, EXPECTED, strict=True))


def test_a_declared_separator_counts_even_if_another_is_more_frequent(tmp_path: Path) -> None:
    text = f"sep=|\n{HEADER.replace(',', '|')}|remark, note; or other\nHeat|heat.mp4|1,5|2,5|CU|a, b; c\n"
    (row,) = rows_of(tmp_path, text.encode()).values()
    assert row == EXPECTED[0] | {"start": "1,5", "end": "2,5"}


def test_cells_may_hold_line_breaks_and_what_looks_like_a_comment(tmp_path: Path) -> None:
    text = f'{HEADER},shot_id\nHeat,heat.mp4,1.5,2.5,CU,"a\n# b\n\nc"\n"#Heat",heat.mp4,3,4,WS,d\n'
    rows = rows_of(tmp_path, text.encode())
    assert rows == {2: EXPECTED[0] | {"shot_id": "a\n# b\n\nc"}, 6: EXPECTED[1] | {"film_id": "#Heat", "shot_id": "d"}}


@pytest.mark.parametrize(
    "row",
    [
        "\u00a0Heat\u00a0,\u2003heat.mp4,1.5\u202f,2.5,\u3000CU",  # blanks of typesetting
        "\u200bHeat,heat.mp4\u200b,1.5\ufeff,2.5\u200e,CU\u2060",  # invisible characters
        'Heat, "heat.mp4", "1,5", 2.5, "CU"',  # quotation marks after a blank
    ],
)
def test_blanks_of_all_kinds_around_a_cell_do_not_count(tmp_path: Path, row: str) -> None:
    (found,) = rows_of(tmp_path, f"{HEADER}\n{row}\n".encode()).values()
    assert isinstance(found, dict)
    assert found | {"start": "1.5"} == EXPECTED[0] and found["start"] in ("1.5", "1,5")


def test_digits_letters_and_colons_of_full_width_are_read_and_paths_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "ｆｉｌｍ１.mp4").touch()
    table = tmp_path / "table.csv"
    table.write_text(
        "film_id,media,ｓｔａｒｔ,end,shot size\n夜,ｆｉｌｍ１.mp4,００：０１：０２．５,６４,ＣＵ\n", encoding="utf-8"
    )
    defects: list[Defect] = []
    (row,) = read_annotations(table, tmp_path, defects)
    assert [time.seconds for forms in row.times.values() for time in forms] == [62.5, 64.0]
    assert (row.media, dict(row.labels), defects) == ("ｆｉｌｍ１.mp4", {"shot_size": "Close Up"}, [])


def test_a_table_of_a_spreadsheet_has_all_its_rows(tmp_path: Path) -> None:
    """Merged cells are empty below the first, and blank columns and rows, wrapped headers and a sum are exported."""
    (tmp_path / "heat.mp4").touch()
    table = tmp_path / "table.csv"
    blank = "," * 3000
    lines = [
        f'film_id,media,"start\n(s)","end\n(s)","Shot\nsize",note{blank}',
        f"Heat,heat.mp4,1,2,CU,{blank}",
        f",,3,4,WS,{blank}",
        *[f",,,,,{blank}"] * 30,
        f",,,,,end of reel 1{blank}",
        f"Heat,heat.mp4,5,6,WS,{blank}",
    ]
    table.write_bytes("\r".join(lines).replace("\n", "\r\n").encode())
    defects: list[Defect] = []
    listed: list[TableRow] = []
    assert [row.times for row in read_annotations(table, tmp_path, defects, listed=listed)]
    lost = {defect.line: defect.detail for defect in defects if defect.loses_row}
    assert [row.line for row in listed] == [5, 6, 37, 38] and list(lost) == [6, 37]
    assert lost[6].startswith("column film_id: empty") and lost[37].startswith("it has no text in the columns")


def test_a_row_that_is_commented_out_is_named(tmp_path: Path) -> None:
    (tmp_path / "heat.mp4").touch()
    table = tmp_path / "table.csv"
    table.write_text(f"# made by Ann, Bob, C, D, E\n{HEADER}\n#Heat,heat.mp4,1,2,CU\n# second reel\n{ROWS}")
    defects: list[Defect] = []
    assert [row.line for row in read_annotations(table, tmp_path, defects)] == [5, 6]
    assert [(defect.kind, defect.line, defect.loses_row) for defect in defects] == [
        (DefectKind.COMMENTED_ROW, 3, False)
    ]


def test_typed_values_of_parquet_are_read_as_what_they_are(tmp_path: Path) -> None:
    row = {
        **{"film_id": "Heat", "media": "heat.mp4", "start": datetime.time(0, 0, 1, 500000)},
        **{"end": datetime.timedelta(seconds=2.5), "still": decimal.Decimal("2.25"), "shot_size": "CU"},
    }
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "t.parquet")
    (found,) = dict(read_table(tmp_path / "t.parquet").rows).values()
    assert not isinstance(found, BrokenLine)
    assert (found["start"], found["end"], found["still"]) == ("00:00:01.500000", "2.5", "2.25")


def test_columns_without_a_name_count_only_if_they_hold_something(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text(f"{HEADER},,\nHeat,heat.mp4,1,2,CU,,7\n")
    assert read_table(table).columns.unread == ["column 7"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# film_id,media,shot_size\nHeat,heat.mp4,CU\n", "no column film_id and no column media.*Heat, heat.mp4, CU"),
        ("film,media,shot_size\nHeat,heat.mp4,CU\n", "no column film_id.*name of the film"),
        ("film_id,video,shot_size\nHeat,heat.mp4,CU\n", "looks like a path.*call it media"),
        ("film_id,media,movement\nHeat,heat.mp4,pan left\n", "looks like a label.*call it camera_movement"),
        ("film_id,media,shot_size,x,x\nHeat,heat.mp4,CU,1,2\n", "the column x twice"),
        ("sep=;\n", "no column"),
        ("film_id,media,start,Start,shot_size\nHeat,heat.mp4,1,2,CU\n", "the column start twice"),
    ],
)
def test_a_table_that_cannot_be_used_says_what_to_change(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TableRefused, match=message):
        rows_of(tmp_path, text.encode())


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_an_encoding_without_a_mark_is_named_rather_than_its_columns(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(TableRefused, match=r"null bytes.*save it as UTF-8"):
        rows_of(tmp_path, f"{HEADER}\n{ROWS}".encode(encoding))
