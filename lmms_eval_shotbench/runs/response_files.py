"""Rows of a file of responses, whichever of the common formats it has.

The format is recognised by the contents, not by the suffix:

- JSON: one object per line, an array of objects, or one object that maps an index to its response;
- a table with a header, separated by tabs, commas or semicolons (Excel writes them where the comma is the decimal
  sign);
- a workbook (.xlsx), of which the first sheet is read.

Any of them may be compressed by gzip. Text is UTF-8 or UTF-16 (Excel's "Unicode text"), with or without a byte order
mark in the case of UTF-8. Files are read at once: the responses of a benchmark take a few megabytes.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.runs.stored_response import BadResponses

ResponseRow = Mapping[str, Any]
SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".xlsx")  # each also with .gz
DELIMITERS = "\t,;"


def rows(path: Path) -> Iterator[tuple[str, ResponseRow]]:
    """Yield (position in the file, row) in file order; a table's names are in lower case.

    Raises:
        BadResponses: While iterating, the file is of an unknown format or broken.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if not suffixes or suffixes[-1] not in (*SUFFIXES, ".gz"):
        raise BadResponses(f"{path}: unknown format; give {', '.join(SUFFIXES)} or one of them with .gz")
    content = _content(path)
    if content.startswith(b"PK") or ".xlsx" in suffixes:
        return _sheet_rows(path, content)
    text = _decoded(path, content)
    return _json_rows(path, text) if text.lstrip()[:1] in ("{", "[") else _table_rows(path, text)


def holds_responses(path: Path) -> bool:
    """Whether a .json file is one of responses, not of scores: lines, an array, or responses by index."""
    try:
        text = _decoded(path, _content(path)).lstrip()
        first, _ = json.JSONDecoder().raw_decode(text)
    except (OSError, ValueError):
        return False
    return _is_row(first[0] if isinstance(first, list) and first else first) or _is_mapping(first)


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if not (content.startswith(b"\x1f\x8b") or path.suffix.lower() == ".gz"):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadResponses(f"{path}: broken gzip ({error}); copy it again") from None


def _decoded(path: Path, content: bytes) -> str:
    """Return the decoded text; a byte order mark selects the encoding, and is left out."""
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if marked else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadResponses(f"{path}, line {line}: not a text in UTF-8 ({error}); save it as UTF-8") from None


# --------------------------------------------------------------------------------------------------------------- JSON


def _json_rows(path: Path, text: str) -> Iterator[tuple[str, ResponseRow]]:
    """Yield the rows of lines if the first line is a complete object of several, else those of one array or object."""
    first, _, others = text.strip().partition("\n")
    try:
        in_lines = isinstance(json.loads(first), dict) and (bool(others) or _is_row(json.loads(first)))
    except ValueError:
        in_lines = False
    if in_lines:
        numbered = ((f"line {number}", line) for number, line in enumerate(text.split("\n"), start=1))
        found: Iterator[tuple[str, Any]] = (
            (at, _parsed(f"{path}, {at}", line)) for at, line in numbered if line.strip()
        )
    else:
        whole = _parsed(str(path), text)
        if isinstance(whole, dict) and not _is_row(whole):
            whole = _rows_by_index(path, whole)
        found = (
            (f"entry {number}", row) for number, row in enumerate(whole if isinstance(whole, list) else [whole], 1)
        )
    for at, row in found:
        if not isinstance(row, dict):
            raise BadResponses(f"{path}, {at}: expected an object with index and response")
        yield at, row


def _is_row(value: Any) -> bool:
    """Whether a JSON value has the fields of one response, ours or of a sample of lmms-eval."""
    return isinstance(value, dict) and bool({"index", "response", "filtered_resps"} & value.keys())


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(name.strip().isdecimal() for name in value)


def _rows_by_index(path: Path, responses: Mapping[str, Any]) -> list[ResponseRow]:
    if not _is_mapping(responses):
        raise BadResponses(
            f"{path}: an object with {', '.join(islice(responses, 5))} holds no responses; expected lines or an array "
            "of objects with index and response, or an object with a response by index"
        )
    return [
        {**(value if isinstance(value, dict) else {"response": value}), "index": index}
        for index, value in responses.items()
    ]


def _parsed(where: str, text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise BadResponses(f"{where}: {twice} occurs twice in one object; keep one")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=unique)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadResponses(f"{where}: invalid JSON ({error}); was the file truncated?") from None


# -------------------------------------------------------------------------------------------------------------- tables


def _table_rows(path: Path, text: str) -> Iterator[tuple[str, ResponseRow]]:
    """Yield the rows of a table; a row with fewer or more cells than the header raises, instead of losing text."""
    csv.field_size_limit(sys.maxsize)
    delimiter = max(DELIMITERS, key=text.lstrip("\r\n").partition("\n")[0].count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: Sequence[str] = ()
    number = 0
    try:
        for number, cells in enumerate((cells for cells in lines if cells), start=1):
            if not names:
                names = _column_names(cells)
                continue
            if len(cells) < len(names):
                raise BadResponses(
                    f"{path}, row {number}: {len(cells)} of {len(names)} cells ({', '.join(names)}); was the file "
                    "truncated?"
                )
            if any(cells[len(names) :]):
                raise BadResponses(
                    f"{path}, row {number}: {len(cells)} cells, but {len(names)} columns; put texts that contain "
                    f"{delimiter!r} in quotes"
                )
            yield f"row {number}", dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise BadResponses(
            f"{path}, row {number + 1}: {error}; is a quote not closed or not doubled, or was the file truncated?"
        ) from None


def _column_names(cells: Sequence[Any]) -> list[str]:
    return ["" if cell is None else str(cell).strip().lower() for cell in cells]


def _sheet_rows(path: Path, content: bytes) -> Iterator[tuple[str, ResponseRow]]:
    """Yield the rows of an xlsx's first sheet, as written by the reference script; blank rows are skipped."""
    try:
        import openpyxl
    except ImportError:
        raise BadResponses(
            f"{path}: reading .xlsx needs openpyxl: pip install 'lmms-eval-shotbench[spreadsheets]'"
        ) from None
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise BadResponses(f"{path}: not a readable xlsx ({error})") from None
    lines = book.worksheets[0].iter_rows(values_only=True)
    names = _column_names(next(lines, ()))
    for number, values in enumerate(lines, start=2):
        if any(value is not None for value in values):
            cells = ["" if value is None else value for value in values]
            yield f"row {number}", dict(zip_longest(names, cells[: len(names)], fillvalue=""))
    book.close()
