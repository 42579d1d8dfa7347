"""Which columns of an annotation table are read, and as what.

Owns the refusal of a column that is not read though it looks like one that would be (`lookalikes.py`): a table whose
times or labels are not read gives wrong pictures or none, in silence. `--ignore-columns` lets such a column pass. The
names are in `column_names.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from data_pipeline.annotations.aliases import find_dimension
from data_pipeline.annotations.column_names import (
    COLUMNS,
    NEUTRAL,
    PROVENANCE,
    REQUIRED,
    ROLES,
    SYNONYMS,
    UNITS,
    words_of,
)
from data_pipeline.annotations.lookalikes import complaint
from data_pipeline.annotations.row_times import TimeColumn
from data_pipeline.annotations.time_notation import Unit
from lmms_eval_shotbench.remote_path import Location
from lmms_eval_shotbench.vocabulary import slugs


class TableRefused(ValueError):
    """The table cannot be used at all; the message says what is wrong and what to do."""


class Columns(NamedTuple):
    """The columns of a table: the key of each that is read, by its name as written, and what the others are."""

    keys: Mapping[str, str]
    times: Sequence[TimeColumn]
    unread: Sequence[str]


def columns_of(table: Location, cells: Mapping[str, Sequence[str]], ignored: Collection[str]) -> Columns:
    """Decide how each column is read.

    Args:
        table: For messages.
        cells: The texts of each column, by its name as written.
        ignored: Names of columns that are not to be read, as written or in other case.

    Raises:
        TableRefused: a column is missing, duplicated or misspelled, or looks like one that would be read.
    """
    names = list(cells)
    passed = _ignored_columns(table, names, ignored)
    keys: dict[str, str] = {}
    times: list[TimeColumn] = []
    for name in names:
        if name in passed:
            continue
        key = "_".join(words_of(name))
        if column := time_column(name):
            times.append(column)
        elif not (key := _plain_column(name)):
            continue
        if key in keys.values():
            raise TableRefused(f"{table} has the column {key} twice; delete one, or name it in --ignore-columns")
        keys[name] = key
    unread = [name for name in names if name not in keys]
    examined = {name: [text for text in cells[name] if text] for name in unread if name not in passed}
    taken = set(keys.values())
    complaints = [complaint(name, texts, taken) for name, texts in examined.items()]
    if any(complaints):
        raise TableRefused(f"{table} has {'; and '.join(filter(None, complaints))}")
    if missing := [name for name in REQUIRED if name not in keys.values()]:
        raise TableRefused(
            f"{table} has no column {' and no column '.join(missing)}; its columns: {', '.join(names)}. film_id is the "
            "column with the name of the film, media the one with the path of its file"
        )
    if not any(slug in keys.values() for slug in slugs()):
        raise TableRefused(f"{table} has no column of labels; it needs at least one of {', '.join(slugs())}")
    return Columns(keys, times, unread)


def _ignored_columns(table: Location, names: Sequence[str], ignored: Iterable[str]) -> set[str]:
    by_words = {tuple(words_of(name)): name for name in names}
    found = set()
    for name in (part for given in ignored for part in ([given] if given in names else given.split(","))):
        if tuple(words_of(name)) not in by_words:
            raise TableRefused(f"{table} has no column {name!r} to ignore; its columns: {', '.join(names)}")
        found.add(by_words[tuple(words_of(name))])
    return found


def time_column(name: str) -> TimeColumn | None:
    """Return a column of times by its name: one word for the time, and words for its unit, in any order; else None."""
    words = [word for word in words_of(name) if word not in NEUTRAL]
    roles = [ROLES[word] for word in words if word in ROLES]
    units = {UNITS[word] for word in words if word in UNITS}
    if len(roles) != 1 or len(roles) + sum(word in UNITS for word in words) != len(words):
        return None
    units -= {Unit.ANY} if len(units) > 1 else set()
    return TimeColumn("_".join(words_of(name)), name, roles[0], units.pop() if units else Unit.ANY)


def _plain_column(name: str) -> str:
    """The key of a column that is no time, or an empty text if it is not read."""
    words = words_of(name)
    key = SYNONYMS.get("_".join(words), "_".join(words))
    if key in COLUMNS:
        return key
    if dimension := find_dimension(" ".join(words)):
        return dimension.slug
    if words and words[-1] in PROVENANCE and (dimension := find_dimension(" ".join(words[:-1]))):
        return f"{dimension.slug}_{words[-1]}"
    return ""
