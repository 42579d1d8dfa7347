"""Stored responses: read what models said, from every form it is kept in.

Known forms, told apart by their ending:
- `.jsonl`, `.jsonl.gz`: one object a line with `index` and `response` (ours, written by `shotbench eval`);
- `.xlsx`, `.tsv`: the reference script's predictions, columns `index` and `prediction`.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import tsv_rows
from lmms_eval_shotbench.runs.formatting import first_few

SAMPLES = "samples.jsonl"  # in the folder of a run of `shotbench eval`; there without scores, the run is not done


class BadResponses(ValueError):
    """A file of responses that cannot be scored; the message says where and what to do."""


def read_responses(path: Path) -> dict[int, str]:
    """Return response text by question index; blank cells become "".

    Raises:
        BadResponses: the file is absent, of an unknown form, broken, or answers one question twice.
    """
    if not path.is_file():
        raise BadResponses(f"{path}: no such file of responses")
    responses: dict[int, str] = {}
    for place, index, response in entries(path):
        if index in responses:
            raise BadResponses(f"{path}, {place}: question {index} is answered twice; keep one response a question")
        responses[index] = response
    if not responses:
        raise BadResponses(f"{path}: holds no responses")
    return responses


def entries(path: Path) -> Iterator[tuple[str, int, str]]:
    """Yield (place in the file, question index, response) as the file has them, a question as often as it stands there.

    Raises:
        BadResponses: while iterating, the file is of an unknown form or broken.
    """
    suffixes = "".join(path.suffixes[-2:]).lower()
    if suffixes.endswith((".jsonl", ".jsonl.gz", ".json")):
        rows: Iterable[tuple[str, Mapping[str, Any]]] = _json_lines(path)
        column = "response"
    elif suffixes.endswith((".xlsx", ".tsv")):
        cells = _sheet_rows(path) if suffixes.endswith(".xlsx") else _text_rows(path)
        rows = ((f"row {number}", row) for number, row in enumerate(cells, start=2))
        column = "prediction"
    else:
        raise BadResponses(f"{path}: unknown form; give .jsonl, .jsonl.gz, .tsv or .xlsx")
    for place, row in rows:
        yield place, _index(path, place, row), _response(path, place, row, column)


def _json_lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    opener = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise BadResponses(f"{path}, line {number}: expected an object with index and response")
                    yield f"line {number}", row
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadResponses(f"{path}, line {number}: no JSON ({error}); was the file cut off?") from None
    except (EOFError, gzip.BadGzipFile) as error:
        raise BadResponses(f"{path}: broken gzip after line {number} ({error}); copy it again") from None


def _text_rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        yield from tsv_rows(path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadResponses(f"{path}: no table in UTF-8 ({error}); save it as text, cells parted by tabs") from None


def _sheet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of an xlsx's first sheet, as the reference writes them."""
    import zipfile

    try:
        import openpyxl
    except ImportError:
        raise BadResponses(f"{path}: reading .xlsx needs openpyxl: pip install 'lmms-eval-shotbench[xlsx]'") from None
    try:
        book = openpyxl.load_workbook(path, read_only=True)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise BadResponses(f"{path}: no readable xlsx ({error})") from None
    rows = book.worksheets[0].iter_rows(values_only=True)
    names = [str(name) for name in next(rows, ())]
    for values in rows:
        yield dict(zip(names, values, strict=False))
    book.close()


def _index(path: Path, place: str, row: Mapping[str, Any]) -> int:
    try:
        number = float(row["index"])
        if not number.is_integer():
            raise ValueError
        return int(number)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise BadResponses(f"{path}, {place}: no whole number under `index` (columns: {', '.join(row)})") from None


def _response(path: Path, place: str, row: Mapping[str, Any], column: str) -> str:
    name = next((name for name in (column, "response", "prediction") if name in row), None)
    if name is None:
        raise BadResponses(f"{path}, {place}: no column `{column}` (columns: {', '.join(map(str, row))})")
    value = row[name]
    return "" if value is None else str(value)


def match_responses(items: Iterable[QAItem], responses: Mapping[int, str], path: Path) -> list[str]:
    """Responses in the order of the items, "" where there is none; refuses responses to questions not asked."""
    items = list(items)
    strangers = sorted(responses.keys() - {item.source_index for item in items})
    if strangers:
        raise BadResponses(
            f"{path}: {len(strangers)} responses belong to no question here (index {first_few(strangers)}); "
            "are these the questions the model was asked?"
        )
    return [responses.get(item.source_index, "") for item in items]
