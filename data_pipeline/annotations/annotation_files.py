"""Read an annotation table: CSV (comma, semicolon or tab), JSONL or parquet becomes rows of text cells.

Owns encodings, separators, lines that are no rows, and the errors that make a file unusable. Columns are named in
`columns.py`, the cells interpreted in `annotation_table.py`. Lines count from 1, in parquet the rows.
"""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from data_pipeline.annotations.columns import Columns, TableRefused, columns_of
from data_pipeline.annotations.plain_text import trimmed
from lmms_eval_shotbench.remote_path import Location

COMMENT = "#"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[,;\t]*', re.IGNORECASE)  # written for Excel
UNNAMED = re.compile(r"column \d+")  # a column without a name is called by its position
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"": "utf-8-sig"}  # "Unicode text" of Excel


class BrokenLine(ValueError):
    """A line that is not a valid row."""


class Table(NamedTuple):
    """A table: its columns, its rows with their line numbers, and comment lines with as many cells as a row."""

    columns: Columns
    header_line: int
    rows: Sequence[tuple[int, Mapping[str, str] | BrokenLine]]
    commented_rows: Sequence[int] = ()


class RawTable(NamedTuple):
    """A file as parsed: the names of its columns, and the values of each row by name."""

    names: Sequence[str]
    header_line: int
    rows: Sequence[tuple[int, Mapping[str, object] | BrokenLine]]
    commented_rows: Sequence[int] = ()


def read_table(path: Location, ignored: Sequence[str] = ()) -> Table:
    """Read every row that is not empty; cells are stripped, columns have their canonical names.

    Args:
        path: The file.
        ignored: Names of columns that are not to be read.

    Raises:
        TableRefused: unsupported or unreadable file, or its columns cannot be used.
    """
    raw = read_raw_table(path)
    texts = {name: own for name, own in _texts_by_column(raw).items() if any(own) or not UNNAMED.fullmatch(name)}
    columns = columns_of(path, texts, ignored)
    rows = [
        (line, row if isinstance(row, BrokenLine) else _cells(row, columns.keys))
        for line, row in raw.rows
        if isinstance(row, BrokenLine) or not _is_empty(row)
    ]
    if not rows:
        raise TableRefused(f"{path} has no rows")
    return Table(columns, raw.header_line, rows, raw.commented_rows)


def read_raw_table(path: Location) -> RawTable:
    """Parse a table, whatever its columns are.

    Raises:
        TableRefused: unsupported or unreadable file.
    """
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".jsonl": _read_json, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise TableRefused(f"{path} is none of {', '.join(readers)}; save the annotation table as one of them")
    if not path.is_file():
        raise TableRefused(f"there is no annotation table {path}")
    return readers[path.suffix.lower()](path)


def _texts_by_column(raw: RawTable) -> dict[str, list[str]]:
    """The texts of each column, for the columns that are named by their cells; other values are empty here."""
    texts: dict[str, list[str]] = {name: [] for name in raw.names}
    for _, row in raw.rows:
        for name, value in () if isinstance(row, BrokenLine) else row.items():
            try:
                texts[name].append(cell_text(name, value))
            except BrokenLine:
                continue
    return texts


class _Lines:
    """The lines of a CSV file without comments and blank lines, which are lines only where a record begins."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines, self.number = lines, 0  # the number of the last line read
        self.first_of_record, self._begins = 1, True
        self.comments: list[tuple[int, str]] = []

    def begin_record(self) -> None:
        """Announce that the next line is the first of a record."""
        self._begins = True

    def __iter__(self) -> Iterator[str]:
        for number, line in enumerate(self._lines, start=1):
            self.number = number
            if self._begins and (not line.strip() or line.startswith(COMMENT)):
                if line.strip():
                    self.comments.append((number, line))
                continue
            if self._begins:
                self.first_of_record, self._begins = number, False
            yield line


def _read_csv(table: Location) -> RawTable:
    lines = _Lines(io.StringIO(table_text(table), newline=""))
    source = iter(lines)
    first = next(source, "")
    separator = max(",;\t", key=first.count)
    if declared := _SEPARATOR_LINE.fullmatch(first.strip("\r\n ")):
        separator = declared[1]
        lines.begin_record()
        first = next(source, "")
    records = _records(
        csv.reader(itertools.chain([first], source), delimiter=separator, strict=True, skipinitialspace=True), lines
    )
    try:
        header_line, header = next(records, (1, []))
        names = _named(table, header)
        rows: list[tuple[int, Mapping[str, object] | BrokenLine]] = []
        for line, cells in records:
            if len(cells) > len(names) and any(cell.strip() for cell in cells[len(names) :]):
                detail = f"{len(cells)} cells for {len(names)} columns; quote cells that hold {separator!r}"
                rows.append((line, BrokenLine(detail)))
            else:
                rows.append((line, dict(zip(names, cells, strict=False))))
    except csv.Error as error:
        raise TableRefused(f"{table} line {lines.number}: {error}; is a quotation mark unclosed?") from error
    many = len(names) - 1
    commented = [line for line, text in lines.comments if line > header_line and text.count(separator) == many]
    return RawTable(names, header_line, rows, commented)


def _records(reader: Iterator[list[str]], lines: _Lines) -> Iterator[tuple[int, list[str]]]:
    """The records with text, and the line on which each begins."""
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield lines.first_of_record, cells
        lines.begin_record()


def _named(table: Location, header: Sequence[str]) -> list[str]:
    """The names of the columns; one without a name is called by its position."""
    names = [trimmed(name) or f"column {number}" for number, name in enumerate(header, start=1)]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise TableRefused(f"{table} has the column {repeated[0]} twice; delete one")
    return names


def _read_json(table: Location) -> RawTable:
    rows: list[tuple[int, Mapping[str, object] | BrokenLine]] = []
    for line, text in enumerate(table_text(table).split("\n"), start=1):
        if text.strip() and not text.startswith(COMMENT):
            rows.append((line, _json_object(text)))
    names = {name: None for _, row in rows if isinstance(row, Mapping) for name in row}
    return RawTable(list(names), 0, rows)


def _json_object(text: str) -> dict[str, object] | BrokenLine:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return BrokenLine(f"no JSON: {error}")
    return row if isinstance(row, dict) else BrokenLine(f"a JSON {type(row).__name__}, not an object")


def _read_parquet(table: Location) -> RawTable:
    import pyarrow
    import pyarrow.parquet

    try:
        with table.open("rb") as file:
            rows = pyarrow.parquet.read_table(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise TableRefused(f"{table} is not a readable parquet file: {error}") from error
    return RawTable(_named(table, rows.column_names), 0, list(enumerate(rows.to_pylist(), start=1)))


def table_text(table: Location) -> str:
    """The text of a CSV or JSON lines file; raises `TableRefused` if it is neither UTF-8 nor marked UTF-16."""
    encoded = table.read_bytes()
    encoding = next(name for mark, name in BYTE_ORDER_MARKS.items() if encoded.startswith(mark))
    try:
        text = encoded.decode(encoding)
    except UnicodeDecodeError as error:
        raise TableRefused(f"{table} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    if "\0" in text[:4]:
        raise TableRefused(f"{table} begins with null bytes, as UTF-16 without a mark or UTF-32; save it as UTF-8")
    return text


def _cells(row: Mapping[str, object], keys: Mapping[str, str]) -> dict[str, str] | BrokenLine:
    try:
        cells = {keys[name]: cell_text(name, value) for name, value in row.items() if name in keys}
    except BrokenLine as broken:
        return broken
    return (
        cells
        if any(cells.values())
        else BrokenLine("it has no text in the columns that are read; fill it in or delete it")
    )


def _is_empty(row: Mapping[str, object]) -> bool:
    """Whether a row has nothing in any column, whether it is read or not."""
    return all(value is None or value != value or not trimmed(str(value)) for value in row.values())


def cell_text(name: str, value: object) -> str:
    """A typed value as text; a list of strings is joined with commas, as a label of several terms."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return trimmed(value)
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return trimmed(", ".join(value))
    if isinstance(value, datetime.timedelta):
        value = value.total_seconds()
    if isinstance(value, (datetime.time, decimal.Decimal)):
        return str(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:.9f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    raise BrokenLine(f"column {name}: {value!r} is neither text nor a number")
