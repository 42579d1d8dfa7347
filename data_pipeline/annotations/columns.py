"""Which columns of an annotation table are read, and as what.

Owns the names of columns and the refusal of a column that is not read though it looks like one that would be: a time,
a frame number, a path or a label, by its name or its cells. A table whose times or labels are not read gives wrong
pictures or none, in silence. `--ignore-columns` lets such a column pass.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from data_pipeline.annotations.aliases import find_dimension
from data_pipeline.annotations.label_cells import is_label
from data_pipeline.annotations.row_times import TimeColumn, TimeRole
from data_pipeline.annotations.time_notation import Unit, looks_like_time
from lmms_eval_shotbench.vocabulary import (
    CAMERA_ANGLE,
    CAMERA_MOVEMENT,
    COMPOSITION,
    DIMENSIONS,
    LENS_SIZE,
    LIGHTING_CONDITION,
    SHOT_FRAMING,
    SHOT_SIZE,
    slugs,
)

REQUIRED = ("film_id", "media")
COLUMNS = (*REQUIRED, *TimeRole, *slugs(), "shot_id", "licence")
SYNONYMS = {"license": "licence"}
PROVENANCE = ("confidence", "agreement", "source")  # after the name of a dimension
TYPO_SIMILARITY = 0.8  # difflib ratio from which an unknown column name counts as a misspelling
EXAMINED = 200  # cells of an unread column that are examined, evenly spaced
MOST = 0.5  # share of the cells that look like one kind, from which a column is taken for it

ROLES = {
    **dict.fromkeys(("start", "begin", "in", "from"), TimeRole.START),
    **dict.fromkeys(("end", "out", "to"), TimeRole.END),
    "still": TimeRole.STILL,
    **dict.fromkeys(("duration", "dur", "length"), TimeRole.DURATION),
}
UNITS = {
    **dict.fromkeys(("time", "sec", "secs", "second", "seconds", "s"), Unit.ANY),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), Unit.MILLISECONDS),
    **dict.fromkeys(("frame", "frames"), Unit.FRAMES),
    **dict.fromkeys(("tc", "timecode", "smpte"), Unit.TIMECODE),
}
NEUTRAL = frozenset(["point", "at", "number", "no", "num"])
JOINED = {
    joined: [role, unit]
    for role in ("start", "begin", "end", "in", "out", "still")
    for unit in ("time", "sec", "seconds", "ms", "frame", "tc", "timecode")
    for joined in (role + unit, unit + role)
}

# What an unread column is taken for by the words of its name.
TIME_WORDS = frozenset(
    [
        *(*ROLES, *UNITS, "stop", "finish", "until", "till", "onset", "offset", "timestamp", "timestamps", "times"),
        *("timecodes", "timing", "minute", "minutes", "pts", "range", "span", "position", "first", "last"),
    ]
)
WEAK_TIME_WORDS = frozenset(["in", "out", "to", "from", "s", "first", "last", "position"])  # only as the last of two
NOT_A_TIME = frozenset(["rate", "width", "height", "size", "focal", "aspect", "ratio", "day", "date", "lens", "count"])
PATH_WORDS = frozenset(["media", "path", "file", "filename", "filepath", "video", "clip", "image", "picture", "movie"])
LABEL_WORDS = {
    **dict.fromkeys(("size", "scale"), SHOT_SIZE),
    "framing": SHOT_FRAMING,
    "angle": CAMERA_ANGLE,
    "lens": LENS_SIZE,
    **dict.fromkeys(("light", "lighting"), LIGHTING_CONDITION),
    "composition": COMPOSITION,
    **dict.fromkeys(("movement", "motion", "move"), CAMERA_MOVEMENT),
}
NOT_A_LABEL = frozenset(["file", "source", *PROVENANCE])
MEDIA_FILE = re.compile(
    r".+\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|mts|m2ts|ts|mxf|wmv|flv|ogv|3gp|braw|r3d"
    r"|jpe?g|png|webp|avif|bmp|tiff?|gif|jpf|mpo|heic)",
    re.IGNORECASE,
)


class TableRefused(ValueError):
    """The table cannot be used at all; the message says what is wrong and what to do."""


class Columns(NamedTuple):
    """The columns of a table: the key of each that is read, by its name as written, and what the others are."""

    keys: Mapping[str, str]
    times: Sequence[TimeColumn]
    unread: Sequence[str]


def words_of(name: str) -> list[str]:
    """The words of a column's name in lower case: `StartTime (seconds)` is start, time, seconds; `tcin` is tc, in."""
    words = re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).casefold())
    return [part for word in words for part in JOINED.get(word, [word])]


def columns_of(table: Path, cells: Mapping[str, Sequence[str]], ignored: Collection[str]) -> Columns:
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
        if column := _time_column(name):
            times.append(column)
        elif not (key := _plain_column(name)):
            continue
        if key in keys.values():
            raise TableRefused(f"{table} has the column {key} twice; delete one, or name it in --ignore-columns")
        keys[name] = key
    unread = [name for name in names if name not in keys]
    for name in unread:
        if name not in passed:
            texts = [text for text in cells[name] if text]
            _refuse_lookalike(table, name, texts[:: -(-len(texts) // EXAMINED) or 1])
    if missing := [name for name in REQUIRED if name not in keys.values()]:
        raise TableRefused(
            f"{table} has no column {' and no column '.join(missing)}; its columns: {', '.join(names)}. film_id is the "
            "column with the name of the film, media the one with the path of its file"
        )
    if not any(slug in keys.values() for slug in slugs()):
        raise TableRefused(f"{table} has no column of labels; it needs at least one of {', '.join(slugs())}")
    return Columns(keys, times, unread)


def _ignored_columns(table: Path, names: Sequence[str], ignored: Iterable[str]) -> set[str]:
    by_words = {tuple(words_of(name)): name for name in names}
    found = set()
    for name in ignored:
        if tuple(words_of(name)) not in by_words:
            raise TableRefused(f"{table} has no column {name!r} to ignore; its columns: {', '.join(names)}")
        found.add(by_words[tuple(words_of(name))])
    return found


def _time_column(name: str) -> TimeColumn | None:
    """A column of times: one word that names the time, and words for its unit, in any order."""
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


def _refuse_lookalike(table: Path, name: str, texts: Sequence[str]) -> None:
    """Raise `TableRefused` if a column that is not read is probably one that should be."""
    if looks := _lookalike(name, texts):
        kind, column = looks
        raise TableRefused(
            f"{table} has a column {name!r}, which looks like {kind} ({texts[0]!r}) and is not read; call it {column}, "
            f"or let it pass with --ignore-columns {name!r}"
        )
    if matches := difflib.get_close_matches("_".join(words_of(name)), COLUMNS, 1, TYPO_SIMILARITY):
        raise TableRefused(
            f"{table} has a column {name!r}; call it {matches[0]}, or let it pass with --ignore-columns {name!r}"
        )


def _lookalike(name: str, texts: Sequence[str]) -> tuple[str, str] | None:
    """What a column with these cells, not all empty, looks like, and the name under which it would be read."""
    if not texts:
        return None
    words = words_of(name)
    frames = bool({"frame", "frames"} & set(words))
    if _most(texts, lambda text: bool(MEDIA_FILE.fullmatch(text))) or (
        PATH_WORDS & set(words) and _most(texts, lambda text: "/" in text or "\\" in text)
    ):
        return "a path", "media"
    named_like_time = _named_like_time(words) and _most(texts, lambda text: bool(re.search(r"\d", text)))
    if named_like_time or (_most(texts, looks_like_time) and not NOT_A_TIME & set(words)):
        return ("a frame number" if frames else "a time"), _time_name(words, frames)
    counts = {one.slug: sum(is_label(one, text) and not text.isdigit() for text in texts) for one in DIMENSIONS}
    named = next((LABEL_WORDS[word].slug for word in reversed(words) if word in LABEL_WORDS), "")
    best = max(counts, key=lambda slug: (counts[slug], slug == named))
    if counts[best] >= MOST * len(texts):
        return "a label", best
    if named and not NOT_A_LABEL & set(words) and _most(texts, lambda text: text[0].isalpha()):
        return "a label", named
    return None


def _named_like_time(words: Sequence[str]) -> bool:
    found = TIME_WORDS & set(words)
    if NOT_A_TIME & set(words):
        return False
    return bool(found - WEAK_TIME_WORDS) or (len(words) <= 2 and bool(found & set(words[-1:])))


def _most(texts: Sequence[str], condition: Callable[[str], bool]) -> bool:
    return sum(map(condition, texts)) >= MOST * len(texts)


def _time_name(words: Sequence[str], frames: bool) -> str:
    ends = {"end", "out", "to", "stop", "finish", "until", "till", "last", "offset"} & set(words)
    if {"duration", "dur", "length"} & set(words):
        role = TimeRole.DURATION
    elif {"range", "span", "timestamps", "times", "timecodes"} & set(words):
        return "start and end, in two columns"
    elif "still" in words:
        role = TimeRole.STILL
    else:
        role = TimeRole.END if ends else TimeRole.START
    return f"{role}_frame" if frames else str(role)
