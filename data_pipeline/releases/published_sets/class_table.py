"""The table of a published set: what it is, and the term of the vocabulary that each of its classes corresponds to.

Owns parsing `NAME.toml` in this folder, one for each set, and finding a class by its spelling. Classes without a
term are listed as well: questions about them are left out by name, whereas a class that is not listed is reported as
unknown. Only names are compared, never numbers: sets number the same classes differently.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any

from lmms_eval_shotbench.vocabulary import Dimension, UnknownTerm, dimension_named, normal_form


class BadClassTable(ValueError):
    """A table does not match the vocabulary; the message names the class."""


@dataclass(frozen=True)
class SetClass:
    """A class of a published set."""

    name: str  # as published
    group: str  # title of its group
    dimension: Dimension | None  # None: a group without a dimension
    term: str = ""  # label of the vocabulary, mostly one term; empty if none corresponds
    option: str = ""  # text as an answer option, for sets that publish labels only; empty: its name
    spellings: tuple[str, ...] = ()  # others that occur
    lossy: bool = False  # the term is wider, narrower or only similar


@dataclass(frozen=True)
class ClassGroup:
    """Classes among which a question of the set chooses."""

    title: str
    spellings: tuple[str, ...]
    dimension: Dimension | None
    classes: tuple[SetClass, ...]

    @cached_property
    def _by_spelling(self) -> dict[str, SetClass]:
        return {normal_form(text): one for one in self.classes for text in (one.name, *one.spellings)}

    def find(self, name: str) -> SetClass | None:
        """Return the class of this name, ignoring case and punctuation, or None if the table does not list it."""
        return self._by_spelling.get(normal_form(name))


@dataclass(frozen=True)
class PublishedSet:
    """A published set: texts for its dataset card, its files and its classes."""

    source: str  # of the questions; also the name of its table
    title: str
    hub_id: str
    licence: str  # Hub identifier
    what: str
    provenance: str
    known_limits: str
    media: str  # where its media are, for the message if there are none
    files: tuple[str, ...]  # patterns of the files that are downloaded from the Hub
    tags: tuple[str, ...]
    groups: tuple[ClassGroup, ...]

    @property
    def only_group(self) -> tuple[ClassGroup, Dimension]:
        """The group and dimension of a set whose table has a single one."""
        (group,) = self.groups
        assert group.dimension is not None, f"the only group of {self.source} has no dimension"
        return group, group.dimension

    def group(self, name: str) -> ClassGroup | None:
        """Return the group of this name, ignoring case and punctuation, or None if the table does not list it."""
        asked = normal_form(name)
        fitting = (one for one in self.groups if asked in map(normal_form, (one.title, *one.spellings)))
        return next(fitting, None)


def published_set(source: str) -> PublishedSet:
    """Return the table of a set; raises `BadClassTable` if it does not match the vocabulary."""
    path = resources.files("data_pipeline.releases.published_sets") / f"{source.replace('-', '_')}.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    groups = tuple(_group(entry) for entry in table.pop("groups"))
    files, tags = tuple(table.pop("files")), tuple(table.pop("tags"))
    texts = {name: text.strip() for name, text in table.items()}
    return PublishedSet(source, **texts, files=files, tags=tags, groups=groups)


def _group(entry: dict[str, Any]) -> ClassGroup:
    dimension = dimension_named(entry["dimension"]) if "dimension" in entry else None
    classes = tuple(_class(entry["title"], dimension, one) for one in entry["classes"])
    return ClassGroup(entry["title"], tuple(entry.get("spellings", ())), dimension, classes)


def _class(group: str, dimension: Dimension | None, entry: dict[str, Any]) -> SetClass:
    found = SetClass(group=group, dimension=dimension, **entry | {"spellings": tuple(entry.get("spellings", ()))})
    if found.term:
        try:
            if dimension is None:
                raise UnknownTerm("its group has no dimension")
            dimension.parse(found.term)
        except UnknownTerm as error:
            raise BadClassTable(f"class {found.name!r} of {group}: {error}") from None
    return found
