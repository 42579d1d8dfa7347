"""From the names and values of an annotation tool to dimensions and terms: exact terms, and the file of `--map`.

    [names]                        # tiers, attributes, controls, columns, markers
    "Plan" = "Shot size"
    "Kamera" = "any"               # its values decide; so it is without an entry
    "Shot" = "shots"               # its ranges are the shots, to which all others belong
    "Size" = ["shots", "Shot size"]    # both
    "Notes" = "skip"

    [values."Plan"]                # values of one name
    "GP" = "Close Up"
    "LS" = "shot size: Extreme Wide"
    "OTS MCU" = ["shot size: MCU", "shot framing: Over the shoulder"]
    "tbd" = "skip"

    [values."*"]                   # of every name
    "handheld" = "skip"

An empty text counts as no entry, so that a template can be filled bit by bit. Without an entry, a name is a dimension
if it is the name of one, and a value a label if it is one of that dimension, in the spellings of annotation tables. If
the name is no dimension, a value counts that is exactly a term of one dimension alone.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from data_pipeline.annotations.aliases import NO_ALIASES, find_dimension
from data_pipeline.annotations.label_cells import UnknownWord, parse_label
from data_pipeline.annotations.plain_text import half_width
from data_pipeline.annotations.tools.tool_annotation import ToolAnnotation
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, Label, UnknownTerm, normal_form, slugs

ANY, SHOTS, SKIP, EVERY = "any", "shots", "skip", "*"
_JOINTS = re.compile(r"\s*(?:,|\b(?:and|then|finally|first(?:ly)?)\b)\s*", re.IGNORECASE)
_PARTS = re.compile(r"\s*[·;|\n]\s*")
FORM = 'write "TERM", "DIMENSION: TERM", a list of these, or "skip"'


class BadMap(ValueError):
    """The file of `--map` cannot be used; the message names the entry and what to write instead."""


class AnnotationMeaning(NamedTuple):
    """What an annotation says: labels by dimension, or why none; `is_meant` if the map leaves it out."""

    labels: tuple[tuple[Dimension, Label], ...] = ()
    reason: str = ""
    is_meant: bool = False
    is_shot: bool = False


Meanings = tuple[str, ...]  # of a value, as in the file; empty: skip


@dataclass(frozen=True)
class LabelMap:
    """The entries of a file; keys are as `_key` makes them."""

    names: Mapping[str, str] = field(default_factory=dict)  # a dimension's slug, `any` or `skip`
    shots: frozenset[str] = frozenset()  # names whose ranges are the shots
    values: Mapping[tuple[str, str], Meanings] = field(default_factory=dict)

    def meaning(self, annotation: ToolAnnotation) -> AnnotationMeaning:
        """What an annotation says."""
        name = _key(annotation.name)
        if self.names.get(name) == SKIP:
            return AnnotationMeaning(reason="the map skips its name", is_meant=True)
        is_shot = annotation.is_shot or name in self.shots
        if annotation.is_shot or (is_shot and name not in self.names):
            return AnnotationMeaning(is_meant=True, is_shot=True)
        return self._said(name, annotation)._replace(is_shot=is_shot)

    def _said(self, name: str, annotation: ToolAnnotation) -> AnnotationMeaning:
        role, value = self.names.get(name, ""), _key(annotation.value)
        named = find_dimension(role or annotation.name) if role != ANY and name else None
        given = self.values.get((name, value), self.values.get((EVERY, value)))
        if given == ():
            return AnnotationMeaning(reason="the map skips its value", is_meant=True)
        if given is not None:
            return AnnotationMeaning(tuple(_meant(named, text) for text in given))
        if not value:
            return AnnotationMeaning(reason="it has no text")
        return _of_dimension(named, annotation.value) if named else _exact_terms(annotation.value)


NO_MAP = LabelMap()


def _of_dimension(dimension: Dimension, text: str) -> AnnotationMeaning:
    try:
        label, _ = parse_label(dimension, text, NO_ALIASES)
    except UnknownWord as error:
        return AnnotationMeaning(reason=f"no term of {dimension.slug}; the nearest are {', '.join(error.nearest)}")
    if label is None or label.repeated_terms:
        return AnnotationMeaning(reason=f"a term of {dimension.slug} twice")
    return AnnotationMeaning(((dimension, label),))


def _exact_terms(text: str) -> AnnotationMeaning:
    """The labels in a text whose parts, separated by `·`, `;`, `|` or commas, are all exactly terms."""
    labels: list[tuple[Dimension, Label]] = []
    for part in _PARTS.split(text.strip()):
        pieces = [part] if _dimensions_of(part) else [piece.strip() for piece in part.split(",")]
        for piece in pieces:
            found = _dimensions_of(piece)
            if not found:
                return AnnotationMeaning(reason="exactly a term of no dimension")
            if len(found) > 1:
                both = " and ".join(dimension.slug for dimension, _ in found)
                return AnnotationMeaning(reason=f"{piece!r} is a term of {both}: map its name to one of them")
            labels += found
    return AnnotationMeaning(tuple(labels))


def _dimensions_of(text: str) -> list[tuple[Dimension, Label]]:
    """The dimensions of which a text is a label with all terms spelled as in the vocabulary.

    A label of the release may lack or add "shot"; here "2" would be "2 shot", and "Long shot" a lens.
    """
    words = [normal_form(word) for word in _JOINTS.split(text) if word.strip()]
    found: list[tuple[Dimension, Label]] = []
    for dimension in DIMENSIONS:
        if not _spellings(dimension).issuperset(words):
            continue
        with suppress(UnknownTerm):
            found.append((dimension, dimension.parse(text)))
    return found


@cache
def _spellings(dimension: Dimension) -> frozenset[str]:
    return frozenset(normal_form(name) for term in dimension.terms for name in (term.name, *term.aliases))


def _key(text: str) -> str:
    return " ".join(half_width(text).split()).casefold()


def read_map(path: Path) -> LabelMap:
    """Parse a file.

    Raises:
        BadMap: no TOML, an unknown table, or an entry that names no dimension or term.
    """
    try:
        content = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadMap(f"{path}: no TOML: {error}") from None
    if unknown := [name for name in content if name not in ("names", "values")]:
        raise BadMap(f"{path}: unknown table {unknown[0]!r}; it has [names] and [values.NAME]")
    names: dict[str, str] = {}
    shots: set[str] = set()
    for name, roles in content.get("names", {}).items():
        for role in roles if isinstance(roles, list) else [roles]:
            if role == SHOTS:
                shots.add(_key(name))
            elif role != "":
                names[_key(name)] = _role(role, f"{path}: [names] {name!r}")
    values: dict[tuple[str, str], Meanings] = {}
    for name, entries in content.get("values", {}).items():
        if not isinstance(entries, dict):
            raise BadMap(
                f'{path}: [values] {name!r} is no table; write [values.{name!r}], or [values."*"] for every name'
            )
        dimension = find_dimension(names.get(_key(name)) or name) if name != EVERY else None
        for value, given in entries.items():
            if given not in ("", []):
                where = f"{path}: [values.{name!r}] {value!r}"
                values[_key(name), _key(value)] = tuple(_checked_meanings(given, dimension, where))
    return LabelMap(names, frozenset(shots), values)


def _role(role: Any, where: str) -> str:
    if role in (ANY, SKIP):
        return str(role)
    if isinstance(role, str) and (dimension := find_dimension(role)):
        return dimension.slug
    raise BadMap(f"{where} is {role!r}; write any, shots, skip, or a dimension: {', '.join(slugs())}")


def _checked_meanings(given: Any, dimension: Dimension | None, where: str) -> Iterator[str]:
    """The meanings of a value, each of which names a term; none for "skip"."""
    if given == SKIP:
        return
    for text in given if isinstance(given, list) else [given]:
        if not isinstance(text, str):
            raise BadMap(f"{where} is {text!r}; {FORM}")
        try:
            _meant(dimension, text)
        except ValueError as error:
            raise BadMap(f"{where}: {error}; {FORM}") from None
        yield text


def _meant(named: Dimension | None, text: str) -> tuple[Dimension, Label]:
    """The label of a text, whose dimension it names or its annotation has.

    Raises:
        ValueError: no dimension, or no term of it; the message says so.
    """
    name, colon, rest = text.partition(":")
    dimension = find_dimension(name) if colon else named
    if dimension is None:
        found = [] if colon else _dimensions_of(text)
        if len(found) != 1:
            raise ValueError(f"{text!r} does not name its dimension")
        return found[0]
    meaning = _of_dimension(dimension, rest if colon else text)
    if not meaning.labels:
        raise ValueError(f"{text!r} is {meaning.reason}")
    return meaning.labels[0]
