"""`QAItem`: the record of a multiple-choice question, used by the data pipeline, evaluation and training.

Defines the fields, their columns and their validation. Media bytes are in `questions/shards.py`, prompts in
`prompts.py`. Two row formats are parsed: a row of a shard (`from_row`) and a row of the official release's `test.tsv`
(`from_release_row`).

Standard library only.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_uppercase
from types import MappingProxyType
from typing import Any

from lmms_eval_shotbench.vocabulary import (
    Dimension,
    Label,
    MediaKind,
    UnknownDimension,
    UnknownTerm,
    dimension_named,
)

SHOTBENCH = "shotbench"  # `source` of the questions of the official release
RELEASE_COLUMNS = ("index", "type", "path", "question", "options", "answer", "category")
RELEASE_MEDIA_TYPES = {"image": MediaKind.STILL, "video": MediaKind.CLIP}


def is_of_source(item_id: str, source: str) -> bool:
    """Whether the id is of a question of this `source`."""
    return item_id.startswith(f"{source}-")


class BadRow(ValueError):
    """An invalid row; the message gives the item, the field, the value found and the value expected."""

    def __init__(self, item_id: str, field: str, got: object, expected: str) -> None:
        super().__init__(f"item {item_id}: {field} is {_shortened(got)}, expected {expected}")
        self.item_id, self.field, self.got, self.expected = item_id, field, got, expected

    def __reduce__(self) -> tuple[type[BadRow], tuple[str, str, object, str]]:
        return BadRow, (self.item_id, self.field, self.got, self.expected)


@dataclass(frozen=True, slots=True)
class QAItem:
    """One multiple-choice question about one still or clip. Options are lettered A, B, C, … by position."""

    item_id: str
    dimension: str  # slug
    question: str
    options: tuple[str, ...]
    answer: str  # letter
    media_kind: MediaKind
    media_path: str  # relative POSIX path of the medium within its source
    source: str = ""
    source_index: int = -1  # `index` of the source; responses are stored under it
    licence: str = ""
    media_sha256: str = ""
    film_id: str = ""
    start_seconds: float | None = None
    end_seconds: float | None = None
    reasoning: str = ""  # chain of thought for SFT; it ends with the answer

    def __post_init__(self) -> None:
        if not 2 <= len(self.options) <= len(ascii_uppercase):
            raise BadRow(self.item_id, "options", self.options, "2 to 26 options")
        if not all(isinstance(text, str) and text.strip() for text in self.options):
            raise BadRow(self.item_id, "options", self.options, "a non-empty text for every letter")
        if self.answer not in self.letters:
            raise BadRow(self.item_id, "answer", self.answer, f"one of the letters {', '.join(self.letters)}")
        if not self.question.strip():
            raise BadRow(self.item_id, "question", self.question, "a question")
        _dimension(self.item_id, self.dimension)
        _inner_path(self.item_id, self.media_path)

    @property
    def letters(self) -> tuple[str, ...]:
        """Letters of the options."""
        return tuple(ascii_uppercase[: len(self.options)])

    @property
    def choices(self) -> Mapping[str, str]:
        """Option texts by letter."""
        return _lettered(self.options)

    @property
    def gold(self) -> str:
        """Text of the correct option."""
        return self.choices[self.answer]

    @property
    def medium(self) -> str:
        """Identifier of the medium; confidence intervals cluster by it, as questions about one medium are dependent."""
        return self.media_sha256 or self.media_path

    def label(self, letter: str) -> Label | None:
        """The parsed option `letter`, or None if it contains no term (RefineShot's yes and no)."""
        try:
            return dimension_named(self.dimension).parse(self.choices[letter])
        except UnknownTerm:
            return None

    def to_row(self) -> dict[str, Any]:
        """The item as a row of a shard, without its media."""
        row = {name: getattr(self, name) for name in COLUMNS}
        return row | {"options": list(self.options), "media_kind": str(self.media_kind)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> QAItem:
        """Parse a row of a shard; raise `BadRow` if a column is missing or invalid."""
        item_id = str(row.get("item_id"))
        missing = [name for name in COLUMNS if name not in row]
        if missing:
            raise BadRow(item_id, "columns", sorted(row), f"also {', '.join(missing)}")
        try:
            kind = MediaKind(row["media_kind"])
        except ValueError:
            raise BadRow(item_id, "media_kind", row["media_kind"], " or ".join(MediaKind)) from None
        return cls(**{name: row[name] for name in COLUMNS} | {"options": tuple(row["options"]), "media_kind": kind})

    @classmethod
    def from_release_row(cls, row: Mapping[str, str], source: str = SHOTBENCH, licence: str = "") -> QAItem:
        """Parse a row of the release's `test.tsv`; raise `BadRow` naming the invalid field."""
        index = str(row.get("index"))
        if None in row:  # `csv` stores cells beyond the last column under None
            raise BadRow(index, "line", row, f"{len(row) - 1} cells")
        missing = [name for name in RELEASE_COLUMNS if row.get(name) in (None, "")]
        if missing:
            raise BadRow(index, missing[0], row.get(missing[0]), "a value (is the line broken?)")
        if not index.isdecimal():
            raise BadRow(index, "index", index, "a whole number")
        media_type = _only_entry(index, "type", row["type"])
        if media_type not in RELEASE_MEDIA_TYPES:
            raise BadRow(index, "type", media_type, " or ".join(RELEASE_MEDIA_TYPES))
        dimension = _dimension(index, row["category"])
        return cls(
            item_id=f"{source}-{int(index):05d}",
            dimension=dimension.slug,
            question=row["question"],
            options=_release_options(index, row["options"]),
            answer=row["answer"].strip(),
            media_kind=RELEASE_MEDIA_TYPES[media_type],
            media_path=_only_entry(index, "path", row["path"]),
            source=source,
            source_index=int(index),
            licence=licence,
        )


@lru_cache(maxsize=8192)  # grading looks up the same options many times
def _lettered(options: tuple[str, ...]) -> Mapping[str, str]:
    return MappingProxyType(dict(zip(ascii_uppercase, options, strict=False)))


COLUMNS: tuple[str, ...] = tuple(QAItem.__dataclass_fields__)


def _dimension(item_id: str, name: str) -> Dimension:
    try:
        return dimension_named(name)
    except UnknownDimension as error:
        raise BadRow(item_id, "dimension", name, str(error)) from None


def _inner_path(item_id: str, text: str) -> None:
    """Raise `BadRow` unless the path stays inside its release: not absolute, no "..", NUL or backslash."""
    steps = text.split("/")
    leaves = text.startswith("/") or ".." in steps or "\0" in text or "\\" in text
    if leaves or set(steps) <= {"", "."}:
        raise BadRow(item_id, "media_path", text, "a relative path that stays inside the release")


_PLAIN_ENTRY = re.compile(r"""\['([^'"\\\n]+)'\]|\["([^'"\\\n]+)"\]""")


def _only_entry(item_id: str, field: str, text: str) -> str:
    """Return the only entry of a list written as JSON or as a Python literal; the release uses both."""
    if plain := _PLAIN_ENTRY.fullmatch(text):  # true of the entire release; parsing would take longer than grading
        return plain[1] or plain[2]
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        try:
            entries = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            entries = None
    if not (isinstance(entries, list) and len(entries) == 1 and isinstance(entries[0], str)):
        raise BadRow(item_id, field, text, "a list with one string")
    return entries[0]


def _release_options(item_id: str, text: str) -> tuple[str, ...]:
    try:
        options = json.loads(text)
    except (ValueError, RecursionError):
        raise BadRow(item_id, "options", text, "a JSON object from letter to text") from None
    letters = list(ascii_uppercase[: len(options)]) if isinstance(options, dict) else None
    if letters is None or list(options) != letters:
        raise BadRow(item_id, "options", text, "a JSON object with the letters A, B, C, … in order")
    return tuple(options.values())


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
