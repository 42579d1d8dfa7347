"""Reader of stored responses in all supported formats.

A row is one response. It has

- the question's `index`, and the text in `response` (ours, written by `shotbench eval`) or `prediction` (the reference
  script's), or a text under one of `OTHER_NAMES`;
- optionally `finish_reason`, `input_tokens`, `output_tokens`, `tokens_counted`, `seconds`, `wall_seconds` and, of
  several responses to a question, the number of the `sample`;
- or, instead of a text, the reason why there is none in `unanswered`.

Null and NaN are no response; an empty cell is an empty response, and the words None or nan in a text are what the model
said. Samples of lmms-eval are recognised, see `lmms_eval_samples.py`; the formats of files are in `response_files.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.grading.strict import REQUEST_FAILED
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.runs.formatting import first_few
from lmms_eval_shotbench.runs.lmms_eval_samples import is_sample, logged_response, question_index, sample_files
from lmms_eval_shotbench.runs.response_files import ResponseRow, rows
from lmms_eval_shotbench.runs.stored_response import SAMPLES, BadResponses, Entry, StoredResponse

__all__ = [
    "SAMPLES",
    "BadResponses",
    "Entry",
    "StoredResponse",
    "StoredSamples",
    "cut_at_limit",
    "entries",
    "read_responses",
    "read_samples",
    "read_several_samples",
]

NOT_STORED = f"{REQUEST_FAILED}: no response is stored]"  # stands for the response to a question that has no row
StoredSamples = list[dict[int, StoredResponse]]  # the first, second, … responses, each by question index
NAMES = ("response", "prediction")
# Used if there is neither of `NAMES` and only one of these. `answer` is missing: in ShotBench it is the correct letter.
OTHER_NAMES = ("output", "completion", "generated_text", "model_output", "model_response", "model_answer", "pred")


def read_responses(path: Path) -> dict[int, str]:
    """Return response text by question index; raises like `read_samples`."""
    return {index: stored.text for index, stored in read_samples(path).items()}


def read_samples(path: Path) -> dict[int, StoredResponse]:
    """Return responses by question index; blank cells become "", which is a response.

    Args:
        path: A file of responses; a run's folder; or a folder of lmms-eval's samples, of which the newest file of each
            of our tasks is read.

    Raises:
        BadResponses: The file is absent, of an unknown format, broken, or has several responses to one question; or
            the folder has none, or those of several task groups or models.
    """
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


def read_several_samples(path: Path) -> StoredSamples:
    """Return the first, second, … response by question index; a sample may lack questions.

    Raises:
        BadResponses: As `read_samples`, but for two responses to one question with the same sample number; or the
            samples are not numbered 1, 2, 3, …
    """
    samples: dict[int, dict[int, StoredResponse]] = {}
    for one in entries(path):
        if one.index in samples.setdefault(one.sample, {}):
            again = f" in sample {one.sample}" if one.sample > 1 else ""
            raise BadResponses(
                f"{path}, {one.position}: question {one.index} is answered twice{again}; keep one response per "
                "question, or number several in a field `sample` (1, 2, 3, …)"
            )
        samples[one.sample][one.index] = one.response
    if not samples:
        raise BadResponses(f"{path}: contains no responses")
    if missing := sorted({*range(1, len(samples) + 1)} - samples.keys()):
        raise BadResponses(
            f"{path}: has samples numbered {first_few(sorted(samples))}, but none numbered {missing[0]}; number the "
            "samples 1, 2, 3, …"
        )
    return [samples[number] for number in sorted(samples)]


def cut_at_limit(responses: Mapping[int, StoredResponse]) -> dict[int, bool]:
    """Return whether each response was cut at the token limit, by index, without those for which that is unknown."""
    return {index: cut for index, stored in responses.items() if (cut := stored.cut_at_limit) is not None}


def entries(path: Path) -> Iterator[Entry]:
    """Yield the responses in file order, including duplicates and items recorded as unanswered.

    Raises:
        BadResponses: While iterating, the file or folder cannot be read; see `read_samples`.
    """
    if path.is_dir() and not (path / SAMPLES).is_file():
        for samples in sample_files(path):
            for one in _entries(samples.path):
                yield replace(one, position=f"{samples.path.name}, {one.position}")
        return
    file = path / SAMPLES if path.is_dir() else path
    if not file.is_file():
        raise BadResponses(f"{file}: no such file of responses")
    yield from _entries(file)


def _entries(path: Path) -> Iterator[Entry]:
    for position, row in rows(path):
        where = f"{path}, {position}"
        if is_sample(row):
            index, response = question_index(where, row), logged_response(row, path)
            yield Entry(position, _integer(where, {"index": index}, "index"), response)
        else:
            sample = _integer(where, row, "sample") if row.get("sample") not in (None, "") else 1
            yield Entry(position, _integer(where, row, "index"), _response(where, row), sample)


def _integer(where: str, row: ResponseRow, column: str) -> int:
    try:
        number = float(row[column])
        if isinstance(row[column], bool) or not number.is_integer():
            raise ValueError
        return int(number)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise BadResponses(f"{where}: no integer in column `{column}` (columns: {', '.join(row)})") from None


def _response(where: str, row: ResponseRow) -> StoredResponse:
    """Return the response of a row; one that is recorded as unanswered, null or NaN is no text."""
    reported: dict[str, Any] = {"finish_reason": str(row.get("finish_reason") or "")}
    for name in ("input_tokens", "output_tokens", "seconds", "wall_seconds"):
        reported[name] = _amount(row.get(name), whole=name.endswith("tokens"))
    reported["tokens_counted"] = row.get("tokens_counted") is True
    if row.get("unanswered"):
        return StoredResponse.absent(str(row["unanswered"]), **reported)
    value = row[_response_name(where, row)]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        word = "null" if value is None else "NaN"
        return StoredResponse.absent(f"{word} is stored instead of a response", **reported)
    if isinstance(value, (list, dict)):
        raise BadResponses(f"{where}: the response is a JSON {type(value).__name__}, expected a text")
    return StoredResponse.of_text(str(value), **reported)


def _amount(value: Any, whole: bool) -> Any:
    """Return a number of tokens or seconds; None if it is absent or no such number."""
    is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    return value if is_number and 0 <= value < math.inf else None


def _response_name(where: str, row: ResponseRow) -> str:
    names = [name for name in NAMES if name in row][:1] or [name for name in OTHER_NAMES if name in row]
    if len(names) != 1:
        found = f"several columns may be the response ({', '.join(names)})" if names else "no column `response`"
        raise BadResponses(
            f"{where}: {found}; name the model's text `response` or `prediction` (columns: {', '.join(map(str, row))})"
        )
    return names[0]


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
