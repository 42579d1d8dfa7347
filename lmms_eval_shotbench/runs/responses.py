"""Reader of stored responses in all supported formats.

The format is determined by the suffix:
- `.jsonl`, `.jsonl.gz`: one object per line with `index` and `response`, and optionally `finish_reason` (ours, written
  by `shotbench eval`);
- `.xlsx`, `.tsv`: the reference script's predictions, columns `index` and `prediction`.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lmms_eval_shotbench.grading.strict import REQUEST_FAILED, has_response
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import tsv_rows
from lmms_eval_shotbench.runs.formatting import first_few

SAMPLES = "samples.jsonl"  # in the folder of a run of `shotbench eval`; without scores beside it, the run is incomplete

NOT_STORED = f"{REQUEST_FAILED}: no response is stored]"  # stands for the response to a question that has no row
# Stop reasons of a response that was cut at the token limit, as OpenAI-compatible servers, Anthropic and Google report
# it, in lower case
LIMIT_REASONS = ("length", "max_tokens", "max_output_tokens")


class StoredResponse(NamedTuple):
    """A response, and what the backend reported about its generation."""

    text: str  # of an unanswered item, a text that grading recognises as no response
    finish_reason: str = ""  # "length", "stop" or another word of the backend; "" if unknown
    output_tokens: int | None = None
    unanswered: str = ""  # why there is no response; "" if there is one

    @classmethod
    def absent(cls, reason: str, finish_reason: str = "", output_tokens: int | None = None) -> StoredResponse:
        """Return what is stored for an item without any response, for this reason."""
        return cls(f"{REQUEST_FAILED}: {reason}]", finish_reason, output_tokens, reason)

    @property
    def cut_at_limit(self) -> bool | None:
        """Whether the response was cut at the token limit; None if unknown."""
        return self.finish_reason.lower() in LIMIT_REASONS if self.finish_reason else None


class BadResponses(ValueError):
    """A file of responses that cannot be scored; the message states the position and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line or row of a file of responses."""

    position: str  # in the file, for messages
    index: int  # of the question
    response: StoredResponse
    sample: int = 1  # number of the sample, of several responses to one question


def read_responses(path: Path) -> dict[int, str]:
    """Return response text by question index; raises like `read_samples`."""
    return {index: stored.text for index, stored in read_samples(path).items()}


def read_samples(path: Path) -> dict[int, StoredResponse]:
    """Return responses by question index; blank cells become "", which is a response.

    Raises:
        BadResponses: The file is absent, of an unknown format, broken, or has several responses to one question.
    """
    if not path.is_file():
        raise BadResponses(f"{path}: no such file of responses")
    responses: dict[int, StoredResponse] = {}
    samples: dict[int, int] = {}
    for one in entries(path):
        if one.index in responses:
            again = f" in sample {one.sample}" if one.sample > 1 else ""
            twice = f"answered twice{again}; keep one response per question"
            several = f"answered in the samples {samples[one.index]} and {one.sample}; keep one sample per question"
            raise BadResponses(
                f"{path}, {one.position}: question {one.index} is "
                f"{twice if one.sample == samples[one.index] else several}"
            )
        responses[one.index], samples[one.index] = one.response, one.sample
    if not responses:
        raise BadResponses(f"{path}: contains no responses")
    return responses


def cut_at_limit(responses: Mapping[int, StoredResponse]) -> dict[int, bool]:
    """Return whether each response was cut at the token limit, by index, without those for which that is unknown."""
    return {index: cut for index, stored in responses.items() if (cut := stored.cut_at_limit) is not None}


def entries(path: Path) -> Iterator[Entry]:
    """Yield the responses in file order, including duplicates and items recorded as unanswered.

    Raises:
        BadResponses: While iterating, the file is of an unknown format or broken.
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
        raise BadResponses(f"{path}: unknown format; give .jsonl, .jsonl.gz, .tsv or .xlsx")
    for position, row in rows:
        response = _response(path, position, row, column)
        yield Entry(position, _whole_number(path, position, row, "index"), response, _sample(path, position, row))


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
        raise BadResponses(f"{path}, line {number}: invalid JSON ({error}); was the file truncated?") from None
    except (EOFError, gzip.BadGzipFile) as error:
        raise BadResponses(f"{path}: broken gzip after line {number} ({error}); copy it again") from None


def _text_rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        yield from tsv_rows(path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadResponses(f"{path}: not a UTF-8 table ({error}); save it as tab-separated text") from None


def _sheet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of an xlsx's first sheet, as written by the reference script."""
    import zipfile

    try:
        import openpyxl
    except ImportError:
        raise BadResponses(
            f"{path}: reading .xlsx needs openpyxl: pip install 'lmms-eval-shotbench[spreadsheets]'"
        ) from None
    try:
        book = openpyxl.load_workbook(path, read_only=True)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise BadResponses(f"{path}: not a readable xlsx ({error})") from None
    rows = book.worksheets[0].iter_rows(values_only=True)
    names = [str(name) for name in next(rows, ())]
    for values in rows:
        yield dict(zip(names, values, strict=False))
    book.close()


def _sample(path: Path, position: str, row: Mapping[str, Any]) -> int:
    return _whole_number(path, position, row, "sample") if row.get("sample") is not None else 1


def _whole_number(path: Path, position: str, row: Mapping[str, Any], column: str) -> int:
    try:
        number = float(row[column])
        if not number.is_integer():
            raise ValueError
        return int(number)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise BadResponses(f"{path}, {position}: no integer in column `{column}` (columns: {', '.join(row)})") from None


def _response(path: Path, position: str, row: Mapping[str, Any], column: str) -> StoredResponse:
    """Return the response of a row; one that is recorded as unanswered, null or NaN is no text."""
    reason, tokens = str(row.get("finish_reason") or ""), row.get("output_tokens")
    reported = reason, tokens if isinstance(tokens, int) else None
    if row.get("unanswered"):
        return StoredResponse.absent(str(row["unanswered"]), *reported)
    name = next((name for name in (column, "response", "prediction") if name in row), None)
    if name is None:
        raise BadResponses(f"{path}, {position}: no column `{column}` (columns: {', '.join(map(str, row))})")
    value = row[name]
    if isinstance(value, float) and math.isnan(value):
        return StoredResponse.absent("NaN is stored instead of a response", *reported)
    if value is None:
        return (
            StoredResponse.absent("null is stored instead of a response", *reported)
            if column == "response"
            else StoredResponse("", *reported)
        )
    text = str(value)
    return StoredResponse(text, *reported, unanswered="" if has_response(text) else text)


def match_responses(items: Iterable[QAItem], responses: Mapping[int, str], path: Path) -> list[str]:
    """Return the responses in item order, `NOT_STORED` if missing; raises like `check_indices`."""
    items = list(items)
    check_indices(items, responses, path)
    return [responses.get(item.source_index, NOT_STORED) for item in items]


def check_indices(items: Iterable[QAItem], indices: Iterable[int], path: Path) -> None:
    """Raise `BadResponses` if there are responses to other questions."""
    unknown = sorted(set(indices) - {item.source_index for item in items})
    if unknown:
        raise BadResponses(
            f"{path}: {len(unknown)} responses match none of these questions (index {first_few(unknown)}); "
            "are these the questions the model was asked?"
        )
