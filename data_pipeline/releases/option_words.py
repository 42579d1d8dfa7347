"""Rewrite the options of a published question in the vocabulary's terms, and report doubtful ones.

Owns parsing of free-form spellings ("Firstly push in; secondly pan left"), and the handling of questions with two
equivalent options. The terms and their spellings are in `lmms_eval_shotbench/vocabulary.py`.

All shards use the same terms, so an option that names terms is rewritten. One that names no known term is kept as
published, with a warning: the model is trained on the letter. If another option is equivalent to the right one, the
question has two right answers that no reward can distinguish: such a question is `ambiguous`.
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
    """Options as written to the shards, warnings, and the flaw that makes the question unusable, if any."""

    options: tuple[str, ...]
    warnings: list[Flaw]
    ambiguous: Flaw | None


def word_options(dimension: Dimension, options: Sequence[str], answer: str) -> WordedOptions:
    """Rewrite options in the vocabulary's terms; `answer` is the letter of the right one."""
    warnings: list[Flaw] = []
    worded: list[str] = []
    letters: dict[object, str] = {}  # meaning -> first letter with this meaning
    ambiguous = None
    for letter, text in zip(ascii_uppercase, options, strict=False):
        option = _parse_option(dimension.slug, text)
        if not option.words:
            warnings.append(
                Flaw(DefectKind.UNKNOWN_TERM, f"{letter}: {text!r} names no term of {dimension.paper_name}")
            )
        elif option.repeats:
            warnings.append(Flaw(DefectKind.REPEATED_TERM, f"{letter}: {text!r}"))
        if first := letters.get(option.meaning):
            same = Flaw(DefectKind.SAME_OPTIONS, f"{first} and {letter}: {options[ord(first) - ord('A')]!r}, {text!r}")
            ambiguous = same if answer in (first, letter) else ambiguous
            warnings.append(same)
        letters.setdefault(option.meaning, letter)
        worded.append(option.words if option.words and option.words not in worded else text)
    return WordedOptions(tuple(worded), warnings, ambiguous)


def dimension_of_options(options: Sequence[str]) -> Dimension | None:
    """Return the only dimension with terms for all options, or None if there is none or more than one."""
    fitting = [
        dimension for dimension in DIMENSIONS if all(_parse_option(dimension.slug, text).words for text in options)
    ]
    return fitting[0] if len(fitting) == 1 else None


class _Option(NamedTuple):
    words: str  # empty if it names no term
    meaning: object  # equal for equivalent options
    repeats: bool  # a term occurs twice


@lru_cache(maxsize=8192)  # a release has some hundred distinct options; the slug is hashed faster than the dimension
def _parse_option(slug: str, text: str) -> _Option:
    try:
        words = known_label(slug, _THEN.sub(", then ", text).replace(";", ","))
    except UnknownTerm:
        return _Option("", normal_form(text), repeats=False)
    label = dimension_named(slug).parse(words)
    meaning = tuple(step for step, _ in groupby(frozenset(map(str, step)) for step in label.steps))
    return _Option(words, meaning, bool(label.repeated_terms))
