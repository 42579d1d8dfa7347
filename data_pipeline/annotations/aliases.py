"""A team's own words for terms: the file of `--aliases`.

One entry per line: the own words, a tab or `=`, and what they mean: `DIMENSION: TERM`, or `keep` for words that are
true but outside the vocabulary, so that nothing is asked about them (`DIMENSION: keep` for one dimension only).

    walk and talk = camera movement: Tracking
    LS            = shot size: Extreme Wide
    handheld      = camera movement: keep
    eye level     = keep

Own words count before the vocabulary's spellings. Lines that begin with `#` are comments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from data_pipeline.annotations.spellings import known_term, spelling_key, spelling_keys
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, Term, UnknownDimension, dimension_named, slugs

KEEP = re.compile(r"keep\b.*|ask nothing", re.IGNORECASE)
_ENTRY = re.compile(r"(?P<words>[^\t=]+?)\s*(?:\t|=(?!>))\s*(?P<meaning>.+)")
FORM = "write OWN WORDS = DIMENSION: TERM, or OWN WORDS = keep"


class BadAliases(ValueError):
    """The file of aliases cannot be used; the message names the line, the value and what to write instead."""


@dataclass(frozen=True, slots=True)
class Alias:
    """Own words of a team: the key of their spelling, the dimension's slug and the term; no term: keep, ask nothing."""

    key: str
    dimension: str
    term: str = ""


@dataclass(frozen=True, slots=True)
class Aliases:
    """All own words of a team."""

    entries: tuple[Alias, ...] = ()

    def find(self, dimension: Dimension, text: str) -> Alias | None:
        """The entry for a text in a dimension, or None."""
        own = {entry.key: entry for entry in self.entries if entry.dimension == dimension.slug}
        return next((own[key] for key in spelling_keys(dimension, text) if key in own), None) if own else None

    @classmethod
    def read(cls, path: Path) -> Aliases:
        """Parse a file of aliases.

        Raises:
            BadAliases: not UTF-8, or a line that is no entry, names no dimension or term, or contradicts another.
        """
        try:
            lines = path.read_bytes().decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise BadAliases(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
        meanings: dict[tuple[str, str], tuple[int, Alias]] = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            for alias in _aliases_of(line.strip(), f"{path} line {number}"):
                before, other = meanings.setdefault((alias.dimension, alias.key), (number, alias))
                if other != alias:
                    raise BadAliases(f"{path} line {number}: {line.strip()!r} contradicts line {before}; delete one")
        return cls(tuple(alias for _, alias in meanings.values()))


NO_ALIASES = Aliases()


def _aliases_of(line: str, where: str) -> list[Alias]:
    """The entries of one line: one, or one for every dimension."""
    entry = _ENTRY.fullmatch(line)
    if entry is None or not (key := spelling_key(entry["words"])):
        raise BadAliases(f"{where}: {line!r} is no entry; {FORM}")
    meaning = entry["meaning"].strip()
    if KEEP.fullmatch(meaning):
        return [Alias(key, slug) for slug in slugs()]
    name, colon, term = (part.strip() for part in meaning.partition(":"))
    if not colon:
        raise BadAliases(f"{where}: {meaning!r} has no dimension; {FORM}")
    dimension = _dimension_of(name, where)
    if KEEP.fullmatch(term):
        return [Alias(key, dimension.slug)]
    return [Alias(key, dimension.slug, _term_of(dimension, term, where).name)]


def _dimension_of(name: str, where: str) -> Dimension:
    named = find_dimension(name)
    if named is None:
        raise BadAliases(f"{where}: {name!r} is no dimension; use one of {', '.join(slugs())}")
    return named


def _term_of(dimension: Dimension, text: str, where: str) -> Term:
    term = known_term(dimension, text)
    if term is None:
        terms = ", ".join(map(str, dimension.terms))
        raise BadAliases(f"{where}: {text!r} is no term of {dimension.slug}; use one of {terms}, or keep")
    return term


def find_dimension(name: str) -> Dimension | None:
    """The dimension with this slug, label in the release or name in the paper, or None."""
    words = " ".join(re.findall(r"[^\W_]+", name.casefold()))
    try:
        return dimension_named(words)
    except UnknownDimension:
        return next((one for one in DIMENSIONS if words in (one.slug.replace("_", " "), one.paper_name.lower())), None)
