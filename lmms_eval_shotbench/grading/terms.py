"""Mark the options that a text names by their text: every phrase of an option becomes one character.

A mark is a character of a private area of Unicode, so that the rules (`claims.py`) are ordinary patterns. At each
position the longest phrase of the dimension's vocabulary counts. Terms joined by ",", "and", "then" and the like are one
compound: it names the option with the same terms in the same steps, in any order within a step, or each of its parts if
all are options. A compound or a term that is not on offer is marked `OFF` and never names an option.

Standard library only; linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from lmms_eval_shotbench.grading.wordings import (
    BLENDING,
    COMPARING,
    HEADS,
    MAX_TRANSPARENT,
    NOT_A_TERM,
    TRANSPARENT,
    WORD_FORMS,
    WORDINGS,
)
from lmms_eval_shotbench.vocabulary import Dimension, Label, Term, UnknownTerm, dimension_named, normal_form

LETTER_MARK, TEXT_MARK, DENIED_MARK = 0xE000, 0xE020, 0xE040  # of option A; the next options follow
OFF = chr(0xE060)  # a term or letter that is not on offer
CONFLICT = chr(0xE061)  # a letter with the text of another option
LETTERS, TEXTS, DENIED = ("[%s-%s]" % (chr(first), chr(first + 31)) for first in (LETTER_MARK, TEXT_MARK, DENIED_MARK))
MARK = f"[{chr(LETTER_MARK)}-{chr(TEXT_MARK + 31)}{OFF}{CONFLICT}]"  # any mark that is not denied

_WORD = re.compile(r"[^\W_]+")
_BLANK = re.compile(r"[ \t_'-]*")
_JOINT = r"(?:stay\w*|hold\w*|remain\w*|becom\w+|end\w*|go\w*|into|on|a|an|the|also|with|is|being|it|camera|\w+ly)"
_AND = re.compile(
    r"\s?(?:[,;/&+]\s?(?:(?:and|with|plus)\s)?|(?:and|with|plus|while|combined with|together with|as well as|along with)\s)"
    rf"(?:{_JOINT}\s){{0,3}}"
)
_THEN = re.compile(rf"\s?,?\s?(?:and\s)?(?:then|followed by|before|finally|next|lastly)\s?,?\s?(?:{_JOINT}\s){{0,3}}")
_OPENING = re.compile(r"\bfirst(?:ly)?,?\s(?:the\s)?(?:camera\s)?$")
_EXACT = ("size", "focal length")  # facets whose terms differ by a neighbouring word
_POLAR = frozenset({"yes", "no", "true", "false"})
_POLAR_BEFORE = re.compile(r"(?:^|[\n.:!?;\"'(\[*,]|\b(?:is|say|answer|answered))\s*$")
_POLAR_AFTER = re.compile(r"\s*(?:$|[\n,.;:!)\]\"'*—-])")


class _Phrase(NamedTuple):
    words: tuple[str, ...]
    term: Term | None  # None: not a term
    text: str  # normal form of an option that is no label, else ""
    capitals: bool  # an abbreviation, which counts in capitals only


class _Found(NamedTuple):
    start: int
    end: int
    term: Term | None
    letter: str  # of an option that is no label
    blended: bool


class Options(NamedTuple):
    """The phrases that may name an option of one question."""

    phrases: dict[str, tuple[_Phrase, ...]]  # by first word, longest first
    labels: dict[Label, str | None]  # letter of the option with this meaning; None if there are several
    texts: dict[str, str | None]  # letter by text, as written but for case; of an option that is no label, by normal form
    dimension: Dimension


@lru_cache(maxsize=4096)
def options_of(dimension: str, options: tuple[str, ...]) -> Options:
    """The phrases of a question; cached, because a release repeats its questions' options."""
    named = dimension_named(dimension)
    labels: dict[Label, str | None] = {}
    texts: dict[str, str | None] = {}
    own = []
    for index, option in enumerate(options):
        letter, text = chr(ord("A") + index), normal_form(option)
        texts.setdefault(_as_written(option), letter)
        try:
            label = _meaning(named.parse(option).steps)
            labels[label] = letter if label not in labels else None
        except UnknownTerm:
            texts[text] = letter
            own.append(_Phrase(tuple(text.split()), None, text, capitals=False))
    phrases = dict(_vocabulary(named))
    for phrase in own:
        if phrase.words:
            words = tuple(map(_base, phrase.words))
            same = (phrase._replace(words=words), *phrases.get(words[0], ()))
            phrases[words[0]] = tuple(sorted(same, key=lambda one: -len(one.words)))
    return Options(phrases, labels, texts, named)


@lru_cache(maxsize=None)
def _vocabulary(dimension: Dimension) -> dict[str, tuple[_Phrase, ...]]:
    wordings = WORDINGS.get(dimension.slug, {})
    phrases: dict[tuple[str, ...], _Phrase] = {}
    for term in dimension.terms:
        for spelling in (term.name, *term.aliases, *wordings.get(term.name, ())):
            words = _words_of(spelling)
            phrases.setdefault(words, _Phrase(words, term, "", spelling.isupper() and len(words) == 1))
    for spelling in wordings.get(NOT_A_TERM, ()):
        words = _words_of(spelling)
        phrases.setdefault(words, _Phrase(words, None, "", capitals=False))
    by_first: dict[str, list[_Phrase]] = {}
    for words in sorted(phrases, key=len, reverse=True):
        by_first.setdefault(words[0], []).append(phrases[words])
    return {first: tuple(listed) for first, listed in by_first.items()}


def _base(word: str) -> str:
    """Base form of a word in lower case."""
    if form := WORD_FORMS.get(word):
        return form
    return word[:-1] if len(word) > 4 and word[-1] == "s" and word[-2] != "s" else word


def _words_of(spelling: str) -> tuple[str, ...]:
    words = [_base(word) for word in _WORD.findall(spelling.lower())]
    return tuple(word for word in words if word not in TRANSPARENT) or tuple(words)


def _meaning(steps: Sequence[Sequence[Term]]) -> Label:
    """A label that is equal for equal meanings: sorted terms in a step, no repetitions."""
    ordered = [tuple(sorted(set(step), key=str)) for step in steps]
    return Label(tuple(step for before, step in pairwise([(), *ordered]) if step != before))


def mark_texts(text: str, options: Options) -> str:
    """The text with a mark in place of every phrase that names an option, and `OFF` for terms that are not on offer."""
    found = list(_phrases_in(text, options))
    if not found:
        return text
    pieces, position = [], 0
    for start, end, marks in _groups(text, found, options):
        pieces += [text[position:start], marks]
        position = end
    return "".join([*pieces, text[position:]])


def _phrases_in(text: str, options: Options) -> Iterator[_Found]:
    """The longest phrase at each position, in order and without overlaps."""
    phrases = options.phrases
    words = list(_WORD.finditer(text))
    forms = [_base(match[0].lower()) for match in words]
    index = 0
    while index < len(words):
        listed = phrases.get(forms[index])
        hit = _longest(text, words, forms, index, listed) if listed else None
        if hit is None:
            index += 1
            continue
        phrase, following = hit
        while following < len(words) and forms[following] in HEADS and _adjacent(text, words, following):
            following += 1
        start, end = words[index].start(), words[following - 1].end()
        letter = options.texts.get(phrase.text) or "" if phrase.text else ""
        if phrase.text in _POLAR and not (_POLAR_BEFORE.search(text, max(0, start - 12), start) and _POLAR_AFTER.match(text, end)):
            pass
        elif len(phrase.words) == 1 and _compares(text, words, forms, index, following):
            pass
        elif phrase.term or letter:
            before = index and forms[index - 1] in BLENDING and _adjacent(text, words, index)
            blended = bool(before) and phrase.term is not None and phrase.term.facet in _EXACT
            yield _Found(start, end, phrase.term, letter, blended)
        index = following


def _compares(
    text: str, words: Sequence[re.Match[str]], forms: Sequence[str], first: int, following: int
) -> bool:
    """Whether the words from `first` are an adjective in a comparison: "too wide", "long enough"."""
    if first and forms[first - 1] in COMPARING and _adjacent(text, words, first):
        return True
    return following < len(words) and forms[following] == "enough" and _adjacent(text, words, following)


def _adjacent(text: str, words: Sequence[re.Match[str]], index: int) -> bool:
    return _BLANK.fullmatch(text, words[index - 1].end(), words[index].start()) is not None


def _longest(
    text: str, words: Sequence[re.Match[str]], forms: Sequence[str], first: int, phrases: Sequence[_Phrase]
) -> tuple[_Phrase, int] | None:
    """The longest phrase that begins at word `first`, and the index of the word after it."""
    for phrase in phrases:
        index, skipped = first, 0
        for expected in phrase.words:
            while (
                index < len(words) and forms[index] != expected and forms[index] in TRANSPARENT
                and index > first and skipped < MAX_TRANSPARENT
            ):
                index, skipped = index + 1, skipped + 1
            if index >= len(words) or forms[index] != expected or (index > first and not _adjacent(text, words, index)):
                break
            index += 1
        else:
            if not phrase.capitals or words[first][0].isupper() or len(words) == 1:
                return phrase, index
    return None


def _groups(text: str, found: Sequence[_Found], options: Options) -> Iterator[tuple[int, int, str]]:
    """Spans to replace, with their marks: every group of joined terms together."""
    start = 0
    while start < len(found):
        end, steps = start + 1, [[found[start].term]]
        joints: list[str] = []
        while end < len(found) and found[end].term and found[start].term:
            kind = _joint(text, found[end - 1], found[end])
            if not kind:
                break
            joints.append(kind)
            steps = [*steps, [found[end].term]] if kind == "then" else [*steps[:-1], [*steps[-1], found[end].term]]
            end += 1
        yield _marked_group(text, found[start:end], steps, joints, options)
        start = end


def _joint(text: str, first: _Found, second: _Found) -> str:
    """How two terms are joined: "then", "and", "blank" (nothing between them) or "" if they are not."""
    if second.start - first.end > 40:
        return ""
    between = text[first.end : second.start].lower()
    if _THEN.fullmatch(between):
        return "then"
    if _BLANK.fullmatch(between):
        return "blank"
    return "and" if "\n" not in between and _AND.fullmatch(between) else ""


def _marked_group(
    text: str, group: Sequence[_Found], steps: Sequence[Sequence[Term | None]], joints: Sequence[str], options: Options
) -> tuple[int, int, str]:
    start, end = group[0].start, group[-1].end
    if group[0].term is None:
        return start, end, chr(TEXT_MARK + ord(group[0].letter) - ord("A"))
    opening = _OPENING.search(text[max(0, start - 24) : start].lower())
    if opening and "then" in joints:
        start -= len(opening[0])
    letter = options.texts.get(_as_written(text[start:end]))
    if any(one.blended for one in group) or (letter is None and _blend(group, joints)):
        return start, end, OFF
    letter = letter or options.labels.get(_meaning([[term for term in step if term] for step in steps]))
    if letter:
        return start, end, _text_mark(letter)
    singles = [options.labels.get(Label(((one.term,),))) for one in group if one.term]
    if not all(singles) or len(group) == 1:
        return start, end, OFF
    return start, end, ", ".join(_text_mark(single) for single in singles if single)


def _text_mark(letter: str) -> str:
    return chr(TEXT_MARK + ord(letter) - ord("A"))


def _as_written(option: str) -> str:
    return " ".join(option.lower().strip(" .").split())


def _blend(group: Sequence[_Found], joints: Sequence[str]) -> bool:
    """Whether two different terms of one facet stand next to each other: "Medium Wide" is not Medium and Wide."""
    return any(
        joint == "blank" and first.term and second.term and first.term.facet == second.term.facet
        and first.term != second.term and first.term.facet in _EXACT
        for joint, (first, second) in zip(joints, pairwise(group), strict=True)
    )
