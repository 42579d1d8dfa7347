"""Columns that are not read though they look like ones that are: times, frame numbers, paths, labels.

Owns what a column is taken for by its name and its cells. How columns are read is in `columns.py`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Sequence

from data_pipeline.annotations.column_names import COLUMNS, PROVENANCE, ROLES, UNITS, words_of
from data_pipeline.annotations.label_cells import is_label
from data_pipeline.annotations.row_times import TimeRole
from data_pipeline.annotations.time_notation import looks_like_time
from lmms_eval_shotbench.vocabulary import (
    CAMERA_ANGLE,
    CAMERA_MOVEMENT,
    COMPOSITION,
    DIMENSIONS,
    LENS_SIZE,
    LIGHTING_CONDITION,
    SHOT_FRAMING,
    SHOT_SIZE,
)

EXAMINED = 200  # cells of a column that are examined, evenly spaced
MOST = 0.5  # share of the cells that look like one kind, from which a column is taken for it
TYPO_SIMILARITY = 0.8  # difflib ratio from which an unknown column name counts as a misspelling

# What an unread column is taken for by the words of its name.
TIME_WORDS = frozenset(
    [
        *(*ROLES, *UNITS, "stop", "finish", "until", "till", "onset", "offset", "timestamp", "timestamps", "times"),
        *(
            "timecodes",
            "timing",
            "ts",
            "t",
            "t0",
            "t1",
            "t2",
            "minute",
            "minutes",
            "pts",
            "range",
            "span",
            "position",
            "first",
            "last",
        ),
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


def complaint(name: str, texts: Sequence[str], taken: Collection[str]) -> str:
    """Why a column that is not read is probably one that should be, and what to do; empty if it is not.

    Args:
        name: Its name as written.
        texts: Its cells that are not empty.
        taken: The columns that are read.
    """
    texts = texts[:: -(-len(texts) // EXAMINED) or 1]
    let_pass = f"let it pass with --ignore-columns {name!r}"
    if looks := _lookalike(name, texts):
        kind, column = looks
        advice = (
            f"the table has {column} already: {let_pass}" if column in taken else f"call it {column}, or {let_pass}"
        )
        return f"a column {name!r}, which looks like {kind} ({texts[0]!r}) and is not read; {advice}"
    if matches := difflib.get_close_matches("_".join(words_of(name)), COLUMNS, 1, TYPO_SIMILARITY):
        return f"a column {name!r}, which is not read; call it {matches[0]}, or {let_pass}"
    return ""


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
