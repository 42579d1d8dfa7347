"""Mark the options that a text names by their text: every phrase of an option becomes one character.

A mark is a character of a private area of Unicode, so that the rules (`claims.py`) are ordinary patterns. At each
position the longest phrase of the dimension's vocabulary counts. Terms joined by ",", "and", "then" and so on are one
compound: it names the option with the same terms in the same steps, in any order within a step, or each of its parts if
all are options. A compound or a term that is not on offer is marked `OFF` and never names an option.

Standard library only; linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from lmms_eval_shotbench.grading.marks import OFF, text_mark
from lmms_eval_shotbench.grading.phrases import WORD, Phrase, Phrases, as_written, base_form, meaning_of
from lmms_eval_shotbench.grading.wordings import BLENDING, COMPARING, HEADS, MAX_TRANSPARENT, TRANSPARENT
from lmms_eval_shotbench.vocabulary import Label, Term

_BLANK = re.compile(r"[ \t_'-]*")
_JOINT = r"(?:stay\w*|hold\w*|remain\w*|becom\w+|end\w*|go\w*|into|on|a|an|the|also|with|is|being|it|camera|\w+ly)"
# Around what, or to whom, the camera moves before the next term: "arcs *around her* while pushing in".
_OBJECT = (
    r"(?:\s(?:(?:around|about|along|past|over|across|on|onto|to|towards?|at|behind|after|from|through|away from)\s)?"
    r"(?:(?:the|a|an|its|his|her|their)\s\w+|(?:around|about|along|him|her|it|them|us|\w+)(?=\s(?:while|as)\b)))?"
)
_AND = re.compile(
    rf"{_OBJECT}\s?(?:[,;/&+]\s?(?:(?:and|with|plus)\s)?|(?:and|with|plus|while|(?:just\s)?as (?:it|the camera|we)"
    r"|combined with|together with|as well as"
    r"|along with)\s)"
    rf"(?:{_JOINT}\s){{0,3}}"
)
_THEN = re.compile(
    rf"{_OBJECT}\s?,?\s?(?:and\s)?(?:then|followed by|before|finally|next|lastly)\s?,?\s?(?:{_JOINT}\s){{0,3}}"
)
_OPENING = re.compile(r"\bfirst(?:ly)?,?\s(?:the\s)?(?:camera\s)?$")
_EXACT = ("size", "focal length")  # facets whose terms differ by a neighbouring word
_POLAR = frozenset({"yes", "no", "true", "false"})
_POLAR_BEFORE = re.compile(r"(?:^|[\n.:!?;\"'(\[*,]|\b(?:is|say|answer|answered))\s*$")
_POLAR_AFTER = re.compile(r"\s*(?:$|[\n,.;:!)\]\"'*—-])")


class _Found(NamedTuple):
    start: int
    end: int
    term: Term | None
    letter: str  # of an option that is no label
    blended: bool


def mark_texts(text: str, options: Phrases) -> str:
    """The text with a mark in place of every phrase that names an option, and `OFF` for terms that are not on offer."""
    found = list(_phrases_in(text, options))
    if not found:
        return text
    pieces, position = [], 0
    for start, end, marks in _groups(text, found, options):
        pieces += [text[position:start], marks]
        position = end
    return "".join([*pieces, text[position:]])


def _phrases_in(text: str, options: Phrases) -> Iterator[_Found]:
    """The longest phrase at each position, in order and without overlaps."""
    phrases = options.phrases
    words = list(WORD.finditer(text))
    forms = [base_form(match[0].lower()) for match in words]
    index = 0
    while index < len(words):
        listed = phrases.get(forms[index])
        hit = _longest(text, words, forms, index, listed) if listed else None
        if hit is None:
            if elided := _elided(text, words, forms, index, phrases):
                yield _Found(words[index].start(), words[index].end(), elided, "", blended=False)
            index += 1
            continue
        phrase, following = hit
        while following < len(words) and forms[following] in HEADS and _adjacent(text, words, following):
            following += 1
        start, end = words[index].start(), words[following - 1].end()
        letter = options.texts.get(phrase.text) or "" if phrase.text else ""
        if (
            phrase.text in _POLAR
            and not (_POLAR_BEFORE.search(text, max(0, start - 12), start) and _POLAR_AFTER.match(text, end))
        ) or (len(phrase.words) == 1 and _compares(text, words, forms, index, following)):
            pass
        elif phrase.term or letter:
            before = index and forms[index - 1] in BLENDING and _adjacent(text, words, index)
            blended = bool(before) and phrase.term is not None and phrase.term.facet in _EXACT
            yield _Found(start, end, phrase.term, letter, blended)
        index = following


def _elided(
    text: str,
    words: Sequence[re.Match[str]],
    forms: Sequence[str],
    index: int,
    phrases: Mapping[str, Sequence[Phrase]],
) -> Term | None:
    """The term whose noun the next term shares: "Low angle" in "low Dutch angle", if they differ in their facets."""
    candidates = phrases.get(forms[index])
    if not candidates or index + 1 == len(words):
        return None
    following = index + 2 if forms[index + 1] == "and" and index + 2 < len(words) else index + 1
    hit = _longest(text, words, forms, following, phrases.get(forms[following], ()))
    between = text[words[index].end() : words[following].start()]
    other = hit[0].term if hit and _ELIDED.fullmatch(between) else None
    for phrase in candidates if other else ():
        if phrase.term and len(phrase.words) == 2 and phrase.words[1] in HEADS and other:
            shared = base_form(str(other).lower().rpartition(" ")[2]) == phrase.words[1]
            if shared and phrase.term.facet != other.facet:
                return phrase.term
    return None


_ELIDED = re.compile(r",?[ -]|,? and ")


def _compares(text: str, words: Sequence[re.Match[str]], forms: Sequence[str], first: int, following: int) -> bool:
    """Whether the words from `first` are an adjective in a comparison: "too wide", "long enough"."""
    if first and forms[first - 1] in COMPARING and _adjacent(text, words, first):
        return True
    return following < len(words) and forms[following] == "enough" and _adjacent(text, words, following)


def _adjacent(text: str, words: Sequence[re.Match[str]], index: int) -> bool:
    return _BLANK.fullmatch(text, words[index - 1].end(), words[index].start()) is not None


def _longest(
    text: str, words: Sequence[re.Match[str]], forms: Sequence[str], first: int, phrases: Sequence[Phrase]
) -> tuple[Phrase, int] | None:
    """The longest phrase that begins at word `first`, and the index of the word after it."""
    for phrase in phrases:
        index, skipped = first, 0
        for expected in phrase.words:
            while (
                index < len(words)
                and forms[index] != expected
                and forms[index] in TRANSPARENT
                and index > first
                and skipped < MAX_TRANSPARENT
            ):
                index, skipped = index + 1, skipped + 1
            if index >= len(words) or forms[index] != expected or (index > first and not _adjacent(text, words, index)):
                break
            index += 1
        else:
            if not phrase.capitals or words[first][0].isupper() or len(words) == 1:
                return phrase, index
    return None


def _groups(text: str, found: Sequence[_Found], options: Phrases) -> Iterator[tuple[int, int, str]]:
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
    text: str, group: Sequence[_Found], steps: Sequence[Sequence[Term | None]], joints: Sequence[str], options: Phrases
) -> tuple[int, int, str]:
    start, end = group[0].start, group[-1].end
    if group[0].term is None:
        return start, end, text_mark(group[0].letter)
    opening = _OPENING.search(text[max(0, start - 24) : start].lower())
    if opening and "then" in joints:
        start -= len(opening[0])
    letter = options.texts.get(as_written(text[start:end]))
    if any(one.blended for one in group) or (letter is None and _blend(group, joints)):
        return start, end, OFF
    letter = letter or options.labels.get(meaning_of([[term for term in step if term] for step in steps]))
    if letter:
        return start, end, text_mark(letter)
    singles = [options.labels.get(Label(((one.term,),))) for one in group if one.term]
    if not all(singles) or len(group) == 1:
        return start, end, OFF
    return start, end, ", ".join(text_mark(single) for single in singles if single)


def _blend(group: Sequence[_Found], joints: Sequence[str]) -> bool:
    """Whether two different terms of one facet stand next to each other: "Medium Wide" is not Medium and Wide."""
    return any(
        joint == "blank"
        and first.term
        and second.term
        and first.term.facet == second.term.facet
        and first.term != second.term
        and first.term.facet in _EXACT
        for joint, (first, second) in zip(joints, pairwise(group), strict=True)
    )
