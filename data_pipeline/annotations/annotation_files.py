"""Read an annotation table: CSV (comma, semicolon or tab), JSONL or parquet becomes rows of text cells.

Owns encodings, separators, column names and the errors that make a table unusable. The cells are interpreted in
`annotation_table.py`. Lines count from 1: in CSV line 1 is the header, in parquet it is the first row.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lmms_eval_shotbench.vocabulary import UnknownDimension, dimension_named, slugs

REQUIRED = ("film_id", "media")
COLUMNS = (*REQUIRED, "start", "end", "still", *slugs(), "shot_id", "licence")
TYPO_SIMILARITY = 0.8  # difflib ratio from which an unknown column name counts as a misspelling


class TableRefused(ValueError):
    """The table cannot be used at all; the message says what is wrong and what to do."""


class BrokenLine(ValueError):
    """A line that is not a valid row."""


def table_rows(table: Path) -> Iterator[tuple[int, Mapping[str, str] | BrokenLine]]:
    """Yield (line number, cells) of every row that is not empty; cells are stripped, column names canonical.

    Raises:
        TableRefused: unsupported or unreadable file, or a column is missing, duplicated or misspelled.
    """
    readers = {".csv": _csv_rows, ".tsv": _csv_rows, ".jsonl": _json_rows, ".parquet": _parquet_rows}
    if table.suffix.lower() not in readers:
        raise TableRefused(f"{table} is none of {', '.join(readers)}; save the annotation table as one of them")
    if not table.is_file():
        raise TableRefused(f"there is no annotation table {table}")
    found = False
    for line, row in readers[table.suffix.lower()](table):
        if isinstance(row, BrokenLine) or any(row.values()):
            found = True
            yield line, row
    if not found:
        raise TableRefused(f"{table} has no rows")


def _csv_rows(table: Path) -> Iterator[tuple[int, Mapping[str, str] | BrokenLine]]:
    text = _table_text(table)
    header = text.splitlines()[0] if text.strip() else ""
    separator = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        columns = _columns(table, next(reader, []))
        line = reader.line_num + 1
        for cells in reader:
            if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
                yield (
                    line,
                    BrokenLine(f"{len(cells)} cells for {len(columns)} columns; quote cells that hold {separator!r}"),
                )
            else:
                yield line, {name: cell.strip() for name, cell in zip(columns, cells, strict=False) if name}
            line = reader.line_num + 1
    except csv.Error as error:
        raise TableRefused(f"{table} line {reader.line_num}: {error}; is a quotation mark unclosed?") from error


def _json_rows(table: Path) -> Iterator[tuple[int, Mapping[str, str] | BrokenLine]]:
    objects: list[tuple[int, dict[str, object] | BrokenLine]] = []
    for line, text in enumerate(_table_text(table).split("\n"), start=1):
        if text.strip():
            objects.append((line, _json_object(text)))
    names = {name: None for _, row in objects if isinstance(row, dict) for name in row}
    columns = dict(zip(names, _columns(table, names), strict=True))
    for line, row in objects:
        yield line, row if isinstance(row, BrokenLine) else _cells(row, columns)


def _json_object(text: str) -> dict[str, object] | BrokenLine:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return BrokenLine(f"no JSON: {error}")
    return row if isinstance(row, dict) else BrokenLine(f"a JSON {type(row).__name__}, not an object")


def _parquet_rows(table: Path) -> Iterator[tuple[int, Mapping[str, str] | BrokenLine]]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(table)
    except (pyarrow.ArrowException, OSError) as error:
        raise TableRefused(f"{table} is not a readable parquet file: {error}") from error
    columns = dict(zip(rows.column_names, _columns(table, rows.column_names), strict=True))
    for line, row in enumerate(rows.to_pylist(), start=1):
        yield line, _cells(row, columns)


def _table_text(table: Path) -> str:
    try:
        return table.read_bytes().decode("utf-8-sig")  # spreadsheets write a byte order mark
    except UnicodeDecodeError as error:
        raise TableRefused(f"{table} is not UTF-8 (byte {error.start}); save it as UTF-8") from error


def _cells(row: Mapping[str, object], columns: Mapping[str, str]) -> dict[str, str] | BrokenLine:
    try:
        return {columns[name]: _cell_text(name, value) for name, value in row.items() if columns[name]}
    except BrokenLine as broken:
        return broken


def _cell_text(name: str, value: object) -> str:
    """A typed value as text; a list of strings is joined with commas, as a label of several terms."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ", ".join(value).strip()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:.9f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    raise BrokenLine(f"column {name}: {value!r} is neither text nor a number")


def _columns(table: Path, names: Iterable[str]) -> list[str]:
    """Canonical names of a table's columns, empty for unknown ones; raises `TableRefused` for a likely misspelling."""
    columns = [_column(table, name) for name in names]
    if missing := [name for name in REQUIRED if name not in columns]:
        raise TableRefused(f"{table} has no column {' and no column '.join(missing)}; its columns: {', '.join(names)}")
    if duplicated := [name for name in columns if name and columns.count(name) > 1]:
        raise TableRefused(f"{table} has the column {duplicated[0]} twice")
    if not any(slug in columns for slug in slugs()):
        raise TableRefused(f"{table} has no column of labels; it needs at least one of {', '.join(slugs())}")
    return columns


def _column(table: Path, name: str) -> str:
    words = "_".join(name.casefold().split())
    if words in COLUMNS:
        return words
    try:
        return dimension_named(words.replace("_", " ")).slug
    except UnknownDimension:
        if matches := difflib.get_close_matches(words, COLUMNS, 1, TYPO_SIMILARITY):
            raise TableRefused(
                f"{table} has a column {name!r}; call it {matches[0]}, or give it a less similar name"
            ) from None
        return ""
