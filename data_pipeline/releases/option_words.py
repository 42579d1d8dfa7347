"""The options of a published question in the vocabulary's words, and what is doubtful about them.

Owns how free spelling is read ("Firstly push in; secondly pan left"), and what two options that say the same mean for
their question. The terms and their spellings are in `lmms_eval_shotbench/vocabulary.py`.

One thing has one name in all shards, so an option is rewritten where it names terms. One that names no known term stays
as it was published, with a warning: the letter is what is learned. Where another option says the same as the right one,
the question has two right answers, which no reward can tell apart: such a question is `ambiguous`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from string import ascii_uppercase
from typing import NamedTuple

from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.labelled_shot import known_label
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, UnknownTerm, dimension_named, normal_form

_THEN = re.compile(r"\s*[,;]?\s*\b(?:secondly|thirdly|lastly|afterwards)\b\s*,?\s*", re.IGNORECASE)


class WordedOptions(NamedTuple):
    """Options as they go into the shards, warnings, and what makes the question worthless, if anything does."""

    options: tuple[str, ...]
    doubts: list[Flaw]
    ambiguous: Flaw | None


def word_options(dimension: Dimension, options: Sequence[str], answer: str) -> WordedOptions:
    """Rewrite options in the vocabulary's words; `answer` is the letter of the right one."""
    doubts: list[Flaw] = []
    worded: list[str] = []
    letters: dict[object, str] = {}  # meaning -> first letter that has it
    ambiguous = None
    for letter, text in zip(ascii_uppercase, options, strict=False):
        option = _read(dimension.slug, text)
        if not option.words:
            doubts.append(Flaw(DefectKind.UNKNOWN_TERM, f"{letter}: {text!r} names no term of {dimension.paper_name}"))
        elif option.repeats:
            doubts.append(Flaw(DefectKind.REPEATED_TERM, f"{letter}: {text!r}"))
        if first := letters.get(option.meaning):
            same = Flaw(DefectKind.SAME_OPTIONS, f"{first} and {letter}: {options[ord(first) - ord('A')]!r}, {text!r}")
            ambiguous = same if answer in (first, letter) else ambiguous
            doubts.append(same)
        letters.setdefault(option.meaning, letter)
        worded.append(option.words if option.words and option.words not in worded else text)
    return WordedOptions(tuple(worded), doubts, ambiguous)


def dimension_of_options(options: Sequence[str]) -> Dimension | None:
    """The only dimension whose terms all options name; None where there is none, or are several."""
    fitting = [dimension for dimension in DIMENSIONS if all(_read(dimension.slug, text).words for text in options)]
    return fitting[0] if len(fitting) == 1 else None


class _Option(NamedTuple):
    words: str  # empty where it names no term
    meaning: object  # what options that say the same have in common
    repeats: bool  # a term is said twice


@lru_cache(maxsize=8192)  # a release has some hundred distinct options; the slug is hashed faster than the dimension
def _read(slug: str, text: str) -> _Option:
    try:
        words = known_label(slug, _THEN.sub(", then ", text).replace(";", ","))
    except UnknownTerm:
        return _Option("", normal_form(text), repeats=False)
    label = dimension_named(slug).parse(words)
    meaning = tuple(step for step, _ in groupby(frozenset(map(str, step)) for step in label.steps))
    return _Option(words, meaning, bool(label.repeated_terms))
