"""Glossary of the vocabulary's terms, with hints for recognizing them; part of the prompts for reasoning chains.

Owns parsing and validating `knowledge.toml`, which has one entry for each term of the vocabulary. The terms themselves
are in `lmms_eval_shotbench/vocabulary.py`; the table is used in `chain_prompts.py`.
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
    """The table does not match the vocabulary; the message names the term."""


@dataclass(frozen=True)
class TermKnowledge:
    """Glossary entry of one term."""

    name: str
    abbreviation: str  # as used on shot lists; empty if there is none
    meaning: str
    recognise: str  # how to see it in a frame or clip
    apart: Mapping[str, str]  # name of a similar term -> how to distinguish the two

    def note(self, offered: Iterable[str] = ()) -> str:
        """Format as one paragraph; confusions are included only with the terms in `offered`."""
        name = f"{self.name} ({self.abbreviation})" if self.abbreviation else self.name
        confusions = [
            f"Against {other}: {difference}" for other, difference in self.apart.items() if other in set(offered)
        ]
        return " ".join([f"{name}: {self.meaning}", f"To recognise it: {self.recognise}", *confusions])


def knowledge_of(dimension: Dimension, term: Term) -> TermKnowledge:
    """Return the entry of a term; raises `BadKnowledge` if the table is broken, `KeyError` if the term is unknown."""
    return _packaged_knowledge()[dimension.slug, term.name]


@cache
def _packaged_knowledge() -> dict[tuple[str, str], TermKnowledge]:
    return read_knowledge((resources.files("data_pipeline.questions") / TABLE).read_text(encoding="utf-8"))


def read_knowledge(text: str) -> dict[tuple[str, str], TermKnowledge]:
    """Parse a table by (dimension slug, term name); raises `BadKnowledge` unless it covers exactly the vocabulary."""
    table = tomllib.loads(text)
    found = {(slug, name): entry for slug, entries in table.items() for name, entry in entries.items()}
    expected = {(dimension.slug, term.name) for dimension in DIMENSIONS for term in dimension.terms}
    if missing := sorted(expected - found.keys()):
        raise BadKnowledge(f"{TABLE} has no entry for {' / '.join(missing[0])} ({len(missing)} terms are missing)")
    if unknown := sorted(found.keys() - expected):
        raise BadKnowledge(f"{TABLE} has an entry for {' / '.join(unknown[0])}, which is not a term of the vocabulary")
    names = {dimension.slug: {term.name for term in dimension.terms} for dimension in DIMENSIONS}
    return {(slug, name): _entry(name, entry, names[slug]) for (slug, name), entry in found.items()}


def _entry(name: str, entry: Mapping[str, Any], siblings: set[str]) -> TermKnowledge:
    if set(entry) != {*_TEXTS, "apart"}:
        raise BadKnowledge(f"{TABLE}, {name}: needs {', '.join(_TEXTS)} and apart, has {', '.join(entry)}")
    empty = [field for field in ("meaning", "recognise") if not entry[field].strip()]
    empty += [f"apart.{other}" for other, difference in entry["apart"].items() if not difference.strip()]
    if empty:
        raise BadKnowledge(f"{TABLE}, {name}: {empty[0]} is empty")
    if unknown := sorted(set(entry["apart"]) - (siblings - {name})):
        raise BadKnowledge(f"{TABLE}, {name}: apart names {unknown[0]!r}, which is not another term of its dimension")
    return TermKnowledge(name, **entry)
