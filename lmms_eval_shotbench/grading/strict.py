"""The strict reading of a response: the letter it declares outside its thought, or why there is none.

It never guesses. A letter inside a thought, the article "A", a letter that disagrees with the option text beside it,
or two options without a last word are all *undecided*. The longest option text wins ("Medium Close Up" over "Medium"),
and the last declared answer wins over earlier ones.

Forms are tried from the plainest to the loosest, and the first that applies decides:
`<answer>` block, whole answer ("B", "B. Medium"), "the answer is …", a line that is an answer, the only mention.

Standard library only; every pattern takes time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import dimension_named, normal_form

# Models served over the network answer with this text when every try failed (lmms-eval 0.7.3).
REQUEST_FAILED = "[LMMS_EVAL_REQUEST_FAILED"


class ExtractedAnswer(NamedTuple):
    """What one rule made of a text."""

    letter: str | None
    how: str


def has_response(response: str) -> bool:
    """Whether the model said anything at all: blank text and a failed request are no response."""
    return bool(response.strip()) and not response.startswith(REQUEST_FAILED)


TAG = re.compile(r"<(/?)(think|answer)>", re.IGNORECASE)


def read_strict(item: QAItem, response: str) -> ExtractedAnswer:
    """Read the letter a response declares outside its thought, or say why there is none."""
    if not has_response(response):
        return ExtractedAnswer(None, "no response")
    declared, blocks = _outside_thought(response)
    if blocks:  # the last block is the model's last word
        reading = _read_declared(item, blocks[-1])
        return ExtractedAnswer(reading.letter, f"answer block: {reading.how}")
    if not declared.strip():
        return ExtractedAnswer(None, "thought only")
    reading = _read_declared(item, declared)
    return ExtractedAnswer(reading.letter, f"free text: {reading.how}")


_SENTENCE_ENDS = re.compile(r"(?<=[.!?])[\"”’')\]]{0,3}\s+|\n")


def read_conclusion(item: QAItem, thought: str) -> ExtractedAnswer:
    """Read the letter a thought comes to: its last declaration, a line that is an answer, else its last sentence.

    Options are weighed all through a thought, so one that is only named before the end is no conclusion.
    """
    if said := _last_declaration(item, thought) or _answer_lines(item, thought):
        return said
    reading = _only_mention(item, _SENTENCE_ENDS.split(thought.strip())[-1])
    return ExtractedAnswer(reading.letter, f"last sentence: {reading.how}")


def _outside_thought(response: str) -> tuple[str, list[str]]:
    """Split off the thought: return the text outside it and the answer blocks found there.

    A `</think>` without its opening ends a thought that the chat template began. A thought that never ends swallows
    the rest, except an answer block that closes the response: there the model plainly stopped thinking. An `<answer>`
    left open runs to the end (generation was stopped at `</answer>`).
    """
    tags = [(match.start(), match.end(), match[1] + match[2].lower()) for match in TAG.finditer(response)]
    last_close = max((end for _, end, name in tags if name == "/think"), default=0)
    text, blocks, thinking, opened = [], [], False, -1
    position = last_close  # whatever stands before the last </think> is thought
    for start, end, name in tags:
        if start < last_close:
            continue
        if name == "think" and opened < 0:
            text.append(response[position:start] if not thinking else "")
            thinking = True
        elif name == "answer" and opened < 0:
            text.append(response[position:start] if not thinking else "")
            opened = end
        elif name == "/answer" and opened >= 0:
            if not thinking or not response[end:].strip():
                blocks.append(response[opened:start])
            position, opened = end, -1
    if opened >= 0 and not thinking:
        blocks.append(response[opened:])
    elif opened < 0 and not thinking:
        text.append(response[position:])
    return "".join(text), blocks


# A letter and nothing else: "B", "(b)", "**B.**", "Option B", "The answer is B".
_LONE_LETTER = re.compile(
    r"[\W_]*(?:(?:the )?(?:final |correct )?(?:answer|option|choice)(?: is)?[\W_]*)?([A-Z])[\W_]*", re.IGNORECASE
)
# "B. Medium", "(B) Medium", "B Medium". Before a mere blank "A" is the article.
_LETTER_THEN_TEXT = re.compile(
    r"[\W_]*(?:(?:answer|option|choice)[\W_]*)?(?:([A-Z])\s?[.):,*\]}-][\W_]*|([B-Z])\s+)(?=\w)", re.IGNORECASE
)
# What follows is meant as the answer. "Option B" alone is not: analyses name every option.
_DECLARATION = re.compile(
    r"\b(?:answer|(?:correct|right|best|likely|appropriate|final) (?:option|choice))[*_\s]{0,4}"
    r"(?:\b(?:is|would be|should be|must be)\b|[:=])[\s:*_(\[{\"'=]{0,8}(?:option\b\s{0,2})?[*_(\[{\"']{0,4}"
    r"|\b(?:choose|select|pick)\b[\s*_(\[\"']{1,4}(?:option\b\s{0,2})?[*_(\[\"']{0,4}"
    r"|\\boxed\{\s{0,4}(?:\\text\{)?",
    re.IGNORECASE,
)
_DECLARED_REACH = 200  # characters after a declaration in which the answer must begin and end
# A letter standing alone and not denied. "A" must be set off by punctuation or the end of a line, or it is the article;
# after a declaration a conjunction does as well ("the answer is A because …").
_NOT_DENIED = (
    r"(?<!\b[Nn]ot )(?<!\bNOT )(?<!\b[Nn]o )(?<!\b[Nn]or )(?<!\b[Nn]ever )(?<!\bthan )(?<!\bexcept )(?<!n't )(?<!n’t )"
    r"(?<!thing but )(?<!\bAll but )(?<!\ball but )(?<![A-Za-z0-9_'’/-])"
)
_NOT_REJECTED = r"(?!\s(?:is|was|would be) (?:not|wrong|incorrect|false|out)\b)(?!\s(?:isn|wasn|can)['’]t\b)"
_SET_OFF = r"\s?(?:[.)\]}:,;*\"”。，）：]|$|(?<=\s)[A-Z](?![A-Za-z0-9_'’-])"
_STANDING_LETTER = re.compile(
    rf"{_NOT_DENIED}(?:([B-HJ-Z])(?![A-Za-z0-9_'’/-])|(A)(?={_SET_OFF}))){_NOT_REJECTED}", re.MULTILINE
)
# An "A" that no article can be: beside a sign, or before a word that follows no article. It names a second option.
_A_AS_WELL = re.compile(
    r"(?<![A-Za-z0-9_'’/-])A(?:\s?[^\w\s'’\"“‘*_(\[{/-]|\s?\(\s?(?:or )?[B-Z]\s?\)|\s?[或和与、]"
    r"|\s(?:or|and|nor|vs|versus|then|but|because|is|was)\b)"
)
_DECLARED_LETTER = re.compile(
    rf"([B-Z])(?![A-Za-z0-9_'’/-])|(A)(?={_SET_OFF}|(?:or|and|as|because|since|due|for|given)\b))"
)
_OTHER_TOO = re.compile(r"[\s*)\]\"']{0,4}(?:or|and|/|&)\s+", re.IGNORECASE)


def _read_declared(item: QAItem, text: str) -> ExtractedAnswer:
    """Try the forms of an answer from the plainest to the loosest; the first that applies decides."""
    return (
        _whole_answer(item, text)
        or _last_declaration(item, text)
        or _answer_lines(item, text)
        or _only_mention(item, text)
    )


def _whole_answer(item: QAItem, text: str) -> ExtractedAnswer | None:
    """The text is a letter, an option's text, or a letter with its text; letter and text must agree."""
    if lone := _LONE_LETTER.fullmatch(text.strip()):
        letter = lone[1].upper()
        return (
            ExtractedAnswer(letter, "lone letter")
            if letter in item.letters
            else ExtractedAnswer(None, "letter not on offer")
        )
    if said := _option_said_exactly(item, text):
        return ExtractedAnswer(said, "option text")
    lead = _LETTER_THEN_TEXT.match(text)
    letter = (lead[1] or lead[2]).upper() if lead else ""
    if lead is None or letter not in item.letters:
        return None
    if said := _option_said_exactly(item, text[lead.end() :]):
        return (
            ExtractedAnswer(letter, "letter and text")
            if said == letter
            else ExtractedAnswer(None, "letter and text disagree")
        )
    return None


def _option_said_exactly(item: QAItem, text: str) -> str | None:
    if len(text) > _DECLARED_REACH:  # no option is that long
        return None
    return _phrases(item.dimension, item.options).letters.get(normal_form(text))


def _last_declaration(item: QAItem, text: str) -> ExtractedAnswer | None:
    """The last "answer is …" that names an option wins; one that names two decides nothing."""
    for declaration in reversed(list(_DECLARATION.finditer(text))):
        clause = text[declaration.end() : declaration.end() + _DECLARED_REACH].split("\n")[0]
        if reading := _opening_answer(item, clause):
            return reading
    return None


def _opening_answer(item: QAItem, clause: str) -> ExtractedAnswer | None:
    """The option that a clause opens with, by letter or by text."""
    standing = _DECLARED_LETTER.match(clause)
    letter = (standing[1] or standing[2]) if standing else None
    if standing and letter in item.letters:
        rest = clause[standing.end() :]
        other = _OTHER_TOO.match(rest)
        if other and (_opening_answer(item, rest[other.end() :])):
            return ExtractedAnswer(None, "several options declared")
        beside = _leading_option(item, rest)
        return (
            ExtractedAnswer(None, "letter and text disagree")
            if beside and beside[0] != letter
            else ExtractedAnswer(letter, "declared letter")
        )
    said = _leading_option(item, clause)
    if said is None:
        return None
    other_said = _leading_option(item, said[1].removeprefix("or ")) if said[1].startswith("or ") else None
    return (
        ExtractedAnswer(None, "several options declared") if other_said else ExtractedAnswer(said[0], "declared text")
    )


def _answer_lines(item: QAItem, text: str) -> ExtractedAnswer | None:
    """One line that is a whole answer, as in "B. Medium" followed by an explanation; two such lines decide nothing."""
    lines = (line for line in text.splitlines() if 0 < len(line) <= _DECLARED_REACH)
    letters = {reading.letter for line in lines if (reading := _whole_answer(item, line)) and reading.letter}
    if not letters:
        return None
    return (
        ExtractedAnswer(letters.pop(), "answer line")
        if len(letters) == 1
        else ExtractedAnswer(None, "several options named")
    )


def _only_mention(item: QAItem, text: str) -> ExtractedAnswer:
    """No declaration: one letter standing alone, else one option text, and never two of either."""
    standing = {match[1] or match[2] for match in _STANDING_LETTER.finditer(text)} & set(item.letters)
    said = set(_options_said(item, text))
    if standing and "A" not in standing and _A_AS_WELL.search(text):
        standing.add("A")
    if len(standing) == 1 and said <= standing:
        return ExtractedAnswer(standing.pop(), "only letter")
    if not standing and len(said) == 1:
        return ExtractedAnswer(said.pop(), "only option text")
    return ExtractedAnswer(None, "several options named" if standing or said else "no option named")


def _leading_option(item: QAItem, text: str) -> tuple[str, str] | None:
    """Letter of the option whose text opens `text`, articles aside, and the normal form of what follows it."""
    words = re.sub(r"^(?:the|a|an) ", "", normal_form(text))
    match = _phrases(item.dimension, item.options).pattern.match(words)
    letter = _letter_of_phrase(item, match[1]) if match else None
    return (letter, words[match.end() :].lstrip()) if match and letter else None


def _options_said(item: QAItem, text: str) -> Iterator[str]:
    """Letters of the option texts in `text`; the longest term wins a place, and "not …" does not count."""
    phrases = _phrases(item.dimension, item.options)
    for match in phrases.pattern.finditer(normal_form(text)):
        letter = _letter_of_phrase(item, match[1])
        if letter and not phrases.negation.search(match.string, max(0, match.start() - 24), match.start()):
            yield letter


class _Phrases(NamedTuple):
    pattern: re.Pattern[str]  # any term of the dimension or option of the item, longest first
    negation: re.Pattern[str]
    letters: dict[str, str]


@lru_cache(maxsize=4096)
def _phrases(dimension: str, options: tuple[str, ...]) -> _Phrases:
    """What may be said of this item. Terms not on offer are in the pattern so that "Medium" is not read into
    "Medium Close Up" where only the former is on offer."""
    letters = {normal_form(option): chr(ord("A") + place) for place, option in enumerate(options)}
    terms = {normal_form(term.name) for term in dimension_named(dimension).terms}
    alternatives = "|".join(re.escape(phrase) for phrase in sorted(terms | set(letters), key=lambda p: (-len(p), p)))
    negation = re.compile(r"\b(?:not|no|than|instead of|neither|nor|isn t)(?: (?:a|an|the|quite))?\s*$")
    return _Phrases(re.compile(rf"\b({alternatives})\b"), negation, letters)


def _letter_of_phrase(item: QAItem, phrase: str) -> str | None:
    return _phrases(item.dimension, item.options).letters.get(phrase)
