"""Fields of JSON rows as published sets write them: texts, options and media paths, with errors that name the field.

Owns the accepted forms of a list of options. Answers are parsed by `answer_letter` in `shotqa_rows.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase

from data_pipeline.releases.json_stream import json_entries
from data_pipeline.releases.release_media import ImportRefused
from data_pipeline.releases.shotqa_rows import split_prompt
from lmms_eval_shotbench.qa_item import BadRow

_LETTERED = re.compile(r"\s*\(?([A-Z])(?:[.:]|\))\s*(?=\S)")


def json_file(folder: Path, name: str) -> Path:
    """Return the path of a file of the release; raises `ImportRefused` if there is none."""
    if not (folder / name).is_file():
        raise ImportRefused(f"{folder} has no {name}; give the folder that holds the files as published")
    return folder / name


def numbered_rows(path: Path) -> Iterator[tuple[int, object]]:
    """Yield the entries of a JSON or JSON lines file and their numbers, from 1; raises `BrokenJson`."""
    yield from enumerate(json_entries(path), 1)


def row_fields(item_id: str, row: object) -> Mapping[str, object]:
    """Return a row as a mapping; raises `BadRow` if it is not an object."""
    if not isinstance(row, dict):
        raise BadRow(item_id, "row", row, "an object")
    return row


def field_named(item_id: str, row: Mapping[str, object], names: Sequence[str]) -> object:
    """Return the first of these fields that has a value; raises `BadRow` with the keys of the row if none has."""
    for name in names:
        if row.get(name) not in (None, "", [], {}):
            return row[name]
    raise BadRow(item_id, "keys", sorted(map(str, row)), f"one of {', '.join(names)} with a value")


def text_named(item_id: str, row: Mapping[str, object], names: Sequence[str]) -> str:
    """Return the first of these fields that has a value, which must be a text or a list of one text."""
    value = field_named(item_id, row, names)
    text = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(text, str):
        raise BadRow(item_id, next(name for name in names if row.get(name) == value), value, "a text")
    return text


def options_from(item_id: str, field: str, value: object) -> tuple[str, ...]:
    """Return the options of a list of texts, with or without letters, or of an object from letter to text."""
    if isinstance(value, dict):
        letters = sorted(value)
        texts = [value[letter] for letter in letters]
        lettered = letters == list(ascii_uppercase[: len(letters)])
    else:
        texts = value if isinstance(value, list) else []
        lettered = bool(texts)
    if not lettered or not all(isinstance(text, str) for text in texts):
        raise BadRow(item_id, field, value, "a list of texts, or an object with the letters A, B, C, …")
    marks = [_LETTERED.match(text) for text in texts]
    if [mark and mark[1] for mark in marks] == list(ascii_uppercase[: len(texts)]):
        texts = [text[mark.end() :] for text, mark in zip(texts, marks, strict=True) if mark]
    return tuple(text.strip() for text in texts)


def question_and_options(item_id: str, field: str, prompt: str) -> tuple[str, tuple[str, ...]]:
    """Split a prompt that contains its options as lines `A. …`; raises `BadRow` if it contains none."""
    question, options = split_prompt(prompt)
    if not options:
        raise BadRow(item_id, field, prompt, "a question followed by options A, B, C, …")
    return question, options
