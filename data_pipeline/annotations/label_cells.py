"""Parse the label in a cell of an annotation table.

Owns how terms are joined in tables, and the message for unknown ones. A label in a spelling of the release means what
`Dimension.parse` makes of it. Spellings of single terms are in `spellings.py`, a team's own in `aliases.py`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

from data_pipeline.annotations.aliases import NO_ALIASES, Aliases
from data_pipeline.annotations.plain_text import half_width
from data_pipeline.annotations.spellings import all_spellings, known_term, spelling_key
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, Label, Term, UnknownTerm

NEAREST = 3
_OPENING = re.compile(r"^\s*first(?:ly)?\b[,:]?\s*", re.IGNORECASE)
_NEXT_STEP = re.compile(
    r"\s*[,;]?\s*(?:\band\s+)?(?:->|=>|>+|→|⇒|➔|➜|\bthen\b|\bfinally\b|\bfollowed\s+by\b)\s*,?\s*", re.IGNORECASE
)
_AT_ONCE = re.compile(r"\s*[,;&+|/\n]\s*(?:and\s+)?|\s+(?:and|with)\s+", re.IGNORECASE)
ONLY_KEPT = Term("keep, ask nothing", "")


class UnknownWord(UnknownTerm):
    """A part of a label that is neither a term nor an alias."""

    def __init__(self, dimension: Dimension, word: str) -> None:
        super().__init__(word)
        self.dimension, self.word = dimension, word

    @property
    def nearest(self) -> tuple[str, ...]:
        """The terms with the most similar spelling, the best first."""
        return nearest_terms(self.dimension, self.word)

    def __str__(self) -> str:
        """What is wrong and what to write instead; not built before it is asked for, since it takes comparisons."""
        elsewhere = [other.slug for other in DIMENSIONS if other is not self.dimension and known_term(other, self.word)]
        hint = f"; it is a term of {' and '.join(elsewhere)}" if elsewhere else ""
        return (
            f"{self.word!r} is no term of {self.dimension.paper_name}{hint}; the nearest are "
            f"{', '.join(self.nearest)}. Write one of them, or add the word to a file for --aliases"
        )


class CellLabel(NamedTuple):
    """What a cell says: its label, None if nothing can be asked, and the words that are kept but not asked about."""

    label: Label | None
    kept: tuple[str, ...]


@lru_cache(maxsize=4096)
def parse_label(dimension: Dimension, text: str, aliases: Aliases) -> CellLabel:
    """Parse a label in any known spelling, its terms joined by any of `, ; & + / and`, its steps by `->` or `then`.

    Raises:
        UnknownWord: a part is neither a term nor an alias.
    """
    text = half_width(text)
    kept: list[str] = []
    try:
        return CellLabel(_label(dimension, text, aliases, kept), tuple(kept))
    except UnknownWord:
        try:  # a spelling of the release that is not in tables, such as "Fisrtly"
            return CellLabel(dimension.parse(text), ())
        except UnknownTerm:
            pass
        raise


def _label(dimension: Dimension, text: str, aliases: Aliases, kept: list[str]) -> Label | None:
    body = _OPENING.sub("", text.strip().rstrip("."))
    if _find(dimension, body, aliases) is not None:  # an alias may hold the sign of a next step
        steps = [tuple(_step_terms(dimension, body, aliases, kept))]
    else:
        steps = [tuple(_step_terms(dimension, step, aliases, kept)) for step in _NEXT_STEP.split(body)]
    return Label(tuple(steps)) if all(steps) else None


def _step_terms(dimension: Dimension, step: str, aliases: Aliases, kept: list[str]) -> Iterator[Term]:
    """The simultaneous terms of a step; words that are kept are added to `kept`.

    The longest parts count, since a term or an alias may hold a joiner: "Ultra Wide / Fisheye".
    """
    joiners = [(0, 0), *(found.span() for found in _AT_ONCE.finditer(step)), (len(step), len(step))]
    parts = [(before[1], after[0]) for before, after in pairwise(joiners)]
    parts = [(start, end) for start, end in parts if step[start:end].strip()]
    if not parts:
        raise UnknownWord(dimension, step)
    while parts:
        for taken in range(len(parts), 0, -1):
            words = step[parts[0][0] : parts[taken - 1][1]].strip()
            if (meaning := _find(dimension, words, aliases)) is not None:
                break
        else:
            raise UnknownWord(dimension, words)
        parts = parts[taken:]
        if meaning is ONLY_KEPT:
            kept.append(words)
        else:
            yield meaning


def _find(dimension: Dimension, text: str, aliases: Aliases) -> Term | None:
    """The term of a text, `ONLY_KEPT` for words that are only kept, or None if they are unknown."""
    if alias := aliases.find(dimension, text):
        return dimension.term(alias.term) if alias.term else ONLY_KEPT
    return known_term(dimension, text)


def is_label(dimension: Dimension, text: str) -> bool:
    """Whether a text is a label of this dimension."""
    try:
        parse_label(dimension, text, NO_ALIASES)
    except UnknownTerm:
        return False
    return True


@lru_cache(maxsize=4096)
def nearest_terms(dimension: Dimension, text: str) -> tuple[str, ...]:
    """Names of the terms with the most similar spelling, the best first."""
    matcher, words = difflib.SequenceMatcher(b=spelling_key(text)), _separate_words(text)
    best: dict[str, float] = {}
    for key, own_words, name in _compared_spellings(dimension):
        matcher.set_seq1(key)
        likeness = 0.3 * bool(words & own_words)
        if likeness + matcher.quick_ratio() > best.setdefault(name, 0.0):  # an upper bound of the ratio
            best[name] = max(best.get(name, 0.0), likeness + matcher.ratio())
    return tuple(sorted(best, key=lambda name: -best[name])[:NEAREST])


@cache
def _compared_spellings(dimension: Dimension) -> list[tuple[str, frozenset[str], str]]:
    return [(spelling_key(text), _separate_words(text), term.name) for text, term in all_spellings(dimension)]


def _separate_words(text: str) -> frozenset[str]:
    return frozenset(text.casefold().replace("-", " ").split())
