"""The phrases that may name an option of a question: the dimension's vocabulary and the options' own texts.

Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

from lmms_eval_shotbench.grading.wordings import NOT_A_TERM, TRANSPARENT, WORD_FORMS, WORDINGS
from lmms_eval_shotbench.vocabulary import Dimension, Label, Term, UnknownTerm, dimension_named, normal_form

WORD = re.compile(r"[^\W_]+")


class Phrase(NamedTuple):
    words: tuple[str, ...]
    term: Term | None  # None: not a term
    text: str  # normal form of an option that is no label, else ""
    capitals: bool  # an abbreviation, which counts in capitals only


class Phrases(NamedTuple):
    """The phrases that may name an option of one question."""

    phrases: dict[str, tuple[Phrase, ...]]  # by first word, longest first
    labels: dict[Label, str | None]  # letter of the option with this meaning; None if there are several
    texts: dict[
        str, str | None
    ]  # letter by text, as written but for case; of an option that is no label, by normal form
    dimension: Dimension


@lru_cache(maxsize=4096)
def phrases_of(dimension: str, options: tuple[str, ...]) -> Phrases:
    """The phrases of a question; cached, because a release repeats its questions' options."""
    named = dimension_named(dimension)
    meanings = [_label_of(named, option) for option in options]
    spellings = [(normal_form(option), meaning) for option, meaning in zip(options, meanings, strict=True)]
    labels: dict[Label, str | None] = {}
    texts: dict[str, str | None] = {}
    own = []
    for index, (option, meaning, spelling) in enumerate(zip(options, meanings, spellings, strict=True)):
        letter: str | None = chr(ord("A") + index)
        if meaning is not None:
            labels[meaning] = letter if meaning not in labels else None
        if spellings.count(spelling) > 1:  # "Close up" and "close-up.": no text can distinguish them
            letter = None
        texts.setdefault(as_written(option), letter)
        if meaning is None:
            texts[spelling[0]] = letter
            own.append(Phrase(tuple(spelling[0].split()), None, spelling[0], capitals=False))
    phrases = dict(_vocabulary(named))
    for phrase in own:
        if phrase.words:
            words = tuple(map(base_form, phrase.words))
            same = (phrase._replace(words=words), *phrases.get(words[0], ()))
            phrases[words[0]] = tuple(sorted(same, key=lambda one: -len(one.words)))
    return Phrases(phrases, labels, texts, named)


def _label_of(dimension: Dimension, option: str) -> Label | None:
    try:
        return meaning_of(dimension.parse(option).steps)
    except UnknownTerm:
        return None


@cache
def _vocabulary(dimension: Dimension) -> dict[str, tuple[Phrase, ...]]:
    wordings = WORDINGS.get(dimension.slug, {})
    phrases: dict[tuple[str, ...], Phrase] = {}
    for term in dimension.terms:
        for spelling in (term.name, *term.aliases, *wordings.get(term.name, ())):
            words = _words_of(spelling)
            phrases.setdefault(words, Phrase(words, term, "", spelling.isupper() and len(words) == 1))
    for spelling in wordings.get(NOT_A_TERM, ()):
        words = _words_of(spelling)
        phrases.setdefault(words, Phrase(words, None, "", capitals=False))
    by_first: dict[str, list[Phrase]] = {}
    for words in sorted(phrases, key=len, reverse=True):
        by_first.setdefault(words[0], []).append(phrases[words])
    return {first: tuple(listed) for first, listed in by_first.items()}


def base_form(word: str) -> str:
    """Base form of a word in lower case."""
    if form := WORD_FORMS.get(word):
        return form
    return word[:-1] if len(word) > 4 and word[-1] == "s" and word[-2] != "s" else word


def _words_of(spelling: str) -> tuple[str, ...]:
    words = [base_form(word) for word in WORD.findall(spelling.lower())]
    return tuple(word for word in words if word not in TRANSPARENT) or tuple(words)


def meaning_of(steps: Sequence[Sequence[Term]]) -> Label:
    """A label that is equal for equal meanings: sorted terms in a step, no repetitions."""
    ordered = [tuple(sorted(set(step), key=str)) for step in steps]
    return Label(tuple(step for before, step in pairwise([(), *ordered]) if step != before))


def as_written(option: str) -> str:
    return " ".join(option.lower().strip(" .").split())
