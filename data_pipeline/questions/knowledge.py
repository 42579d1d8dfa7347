"""What every term of the vocabulary means and how it is recognised: the table that reasoning chains are written from.

Owns reading and checking `knowledge.toml`, which covers exactly the vocabulary's terms. The terms themselves are in
`lmms_eval_shotbench/vocabulary.py`; who puts the table to use is `chain_prompts.py`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, Term

TABLE = "knowledge.toml"
_TEXTS = ("abbreviation", "meaning", "recognise")


class BadKnowledge(ValueError):
    """The table does not fit the vocabulary; the message names the term."""


@dataclass(frozen=True)
class TermKnowledge:
    """What a cinematographer knows of one term."""

    name: str
    abbreviation: str  # as on a shot list; empty where nobody abbreviates it
    meaning: str
    recognise: str  # how to see it in a frame or clip
    apart: Mapping[str, str]  # term it is mistaken for -> how the two are told apart

    def note(self, beside: Iterable[str] = ()) -> str:
        """The knowledge as one paragraph; of the mistakes only those with a term that stands `beside` it."""
        name = f"{self.name} ({self.abbreviation})" if self.abbreviation else self.name
        mistakes = [f"Against {other}: {how}" for other, how in self.apart.items() if other in set(beside)]
        return " ".join([f"{name}: {self.meaning}", f"To recognise it: {self.recognise}", *mistakes])


def knowledge_of(dimension: Dimension, term: Term) -> TermKnowledge:
    """What is known of a term; raises `BadKnowledge` if the table is broken, `KeyError` on a foreign term."""
    return _table()[dimension.slug, term.name]


@cache
def _table() -> dict[tuple[str, str], TermKnowledge]:
    return read_knowledge((resources.files("data_pipeline.questions") / TABLE).read_text(encoding="utf-8"))


def read_knowledge(text: str) -> dict[tuple[str, str], TermKnowledge]:
    """Read a table by (dimension's slug, term's name); raise `BadKnowledge` unless it covers the vocabulary exactly."""
    table = tomllib.loads(text)
    found = {(slug, name): entry for slug, entries in table.items() for name, entry in entries.items()}
    expected = {(dimension.slug, term.name) for dimension in DIMENSIONS for term in dimension.terms}
    if missing := sorted(expected - found.keys()):
        raise BadKnowledge(f"{TABLE} says nothing of {' / '.join(missing[0])} ({len(missing)} terms are missing)")
    if strange := sorted(found.keys() - expected):
        raise BadKnowledge(f"{TABLE} speaks of {' / '.join(strange[0])}, which is no term of the vocabulary")
    names = {dimension.slug: {term.name for term in dimension.terms} for dimension in DIMENSIONS}
    return {(slug, name): _entry(name, entry, names[slug]) for (slug, name), entry in found.items()}


def _entry(name: str, entry: Mapping[str, Any], siblings: set[str]) -> TermKnowledge:
    if set(entry) != {*_TEXTS, "apart"}:
        raise BadKnowledge(f"{TABLE}, {name}: needs {', '.join(_TEXTS)} and apart, has {', '.join(entry)}")
    empty = [field for field in ("meaning", "recognise") if not entry[field].strip()]
    empty += [f"apart.{other}" for other, how in entry["apart"].items() if not how.strip()]
    if empty:
        raise BadKnowledge(f"{TABLE}, {name}: {empty[0]} is empty")
    if strange := sorted(set(entry["apart"]) - (siblings - {name})):
        raise BadKnowledge(f"{TABLE}, {name}: apart names {strange[0]!r}, which is no other term of its dimension")
    return TermKnowledge(name, **entry)
