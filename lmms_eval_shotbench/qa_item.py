"""`QAItem`: the one record of a question, from film to score to training row.

Owns the fields, their columns and what makes a row bad. It does not hold media bytes (see `questions/shards.py`) and
does not write prompts (see `prompts.py`). Two outer forms are read: a row of our shards (`from_row`) and a row of the
official release's `test.tsv` (`from_release_row`).

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

RELEASE_COLUMNS = ("index", "type", "path", "question", "options", "answer", "category")
RELEASE_MEDIA_TYPES = {"image": MediaKind.STILL, "video": MediaKind.CLIP}


class BadRow(ValueError):
    """A row that is no question: which item, which field, what was there and what belongs there."""

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
    media_path: str  # name of the medium in its source, POSIX, relative
    source: str = ""
    source_index: int = -1  # the `index` under which responses are stored
    licence: str = ""
    media_sha256: str = ""
    film_id: str = ""
    start_seconds: float | None = None
    end_seconds: float | None = None
    reasoning: str = ""  # a chain of thought to learn from; it ends in the answer

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
        """The letters on offer."""
        return tuple(ascii_uppercase[: len(self.options)])

    @property
    def choices(self) -> Mapping[str, str]:
        """Option text by letter."""
        return _lettered(self.options)

    @property
    def gold(self) -> str:
        """Text of the right option."""
        return self.choices[self.answer]

    @property
    def medium(self) -> str:
        """What identifies the medium: questions that share it are not independent, so intervals cluster by it."""
        return self.media_sha256 or self.media_path

    def label(self, letter: str) -> Label | None:
        """The option behind `letter` as terms; None where it names none (RefineShot's yes and no)."""
        try:
            return dimension_named(self.dimension).parse(self.choices[letter])
        except UnknownTerm:
            return None

    def to_row(self) -> dict[str, Any]:
        """The item as columns of a shard, without its media."""
        row = {name: getattr(self, name) for name in COLUMNS}
        return row | {"options": list(self.options), "media_kind": str(self.media_kind)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> QAItem:
        """Read a shard's row; raise `BadRow` where a column is missing or wrong."""
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
    def from_release_row(cls, row: Mapping[str, str], source: str = "shotbench", licence: str = "") -> QAItem:
        """Read a row of the release's `test.tsv`; raise `BadRow` naming the field that is broken."""
        index = str(row.get("index"))
        if None in row:  # where `csv` puts the cells beyond the last column
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


@lru_cache(maxsize=8192)  # graders ask for the same options many times
def _lettered(options: tuple[str, ...]) -> Mapping[str, str]:
    return MappingProxyType(dict(zip(ascii_uppercase, options, strict=False)))


COLUMNS: tuple[str, ...] = tuple(QAItem.__dataclass_fields__)


def _dimension(item_id: str, name: str) -> Dimension:
    try:
        return dimension_named(name)
    except UnknownDimension as error:
        raise BadRow(item_id, "dimension", name, str(error)) from None


def _inner_path(item_id: str, text: str) -> None:
    """A medium's name must stay inside its release: no absolute path, no way up, no NUL or backslash."""
    steps = text.split("/")
    leaves = text.startswith("/") or ".." in steps or "\0" in text or "\\" in text
    if leaves or set(steps) <= {"", "."}:
        raise BadRow(item_id, "media_path", text, "a relative path that stays inside the release")


_PLAIN_ENTRY = re.compile(r"""\['([^'"\\\n]+)'\]|\["([^'"\\\n]+)"\]""")


def _only_entry(item_id: str, field: str, text: str) -> str:
    """The single entry of a list written as JSON or as a Python literal: the release has both."""
    if plain := _PLAIN_ENTRY.fullmatch(text):  # all of the release; parsing each would take longer than grading it
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
