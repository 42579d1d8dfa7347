"""Mark the options that a text names by their letter, and join a letter with its text ("B. Medium") to one mark.

A letter counts if nothing else can be meant: a capital that stands alone, except the article "A", the pronoun "I" and
names ("Plan A"); a lower case letter in brackets, after a word such as "answer", or before a sign at the beginning of a
line.

Standard library only; linear time.
"""

from __future__ import annotations

import re

from lmms_eval_shotbench.grading.marks import CONFLICT, LETTERS, OFF, TEXTS, letter_mark

_ALONE = re.compile(r"(?<!\w)(?<!\w')(?<![A-Za-z]\.)(?<!\d )[A-Za-z](?!\w|'\w|-\w|\.\w|\.\s?[A-Z]\.\s?[A-Z][a-z])")
# Words after which a capital is a name and no option.
_NAMES = frozenset(
    [
        "plan",
        "grade",
        "figure",
        "fig",
        "vitamin",
        "type",
        "class",
        "series",
        "section",
        "part",
        "side",
        "scene",
        "camera",
        "take",
        "person",
        "character",
        "subject",
        "roll",
        "team",
        "man",
        "woman",
        "actor",
        "point",
        "studio",
        "block",
        "phase",
        "tier",
        "lamp",
        "building",
    ]
)
_TAKES = re.compile(r"\b(?:I|we|I'd|I'll|would|will|must|to)\stake\s$")  # "take" as a verb
_PRONOUN = re.compile(r"\s[a-z]")
_NOUN = r"(?:answer|option|choice|letter|selection|prediction|verdict|solution)"
# Words before a lower case letter that declare it. They end with one of `_CUE_ENDS`, which is tested first.
_CUE = re.compile(
    rf"\b(?:{_NOUN}s?|choose|select|pick)(?:\s(?:is|are|would be|should be|must be))?\s?[:=-]?\s?"
    rf"(?:(?:the\s)?{_NOUN}\s?:?\s?)?[(\[\"']{{0,2}}\s?$",
    re.IGNORECASE,
)
_CUE_ENDS = frozenset(
    [
        "answer",
        "option",
        "choice",
        "letter",
        "selection",
        "prediction",
        "verdict",
        "solution",
        "choose",
        "select",
        "pick",
        "is",
        "are",
        "be",
    ]
)
# Words before a lower case letter that ends a clause: "it's d."
_SAID = re.compile(
    r"\b(?:it's|it is|go with|going with|i think|i'd say|i say|so|hence|therefore|thus)\s$", re.IGNORECASE
)
_SAID_ENDS = frozenset(["it's", "is", "with", "think", "say", "so", "hence", "therefore", "thus"])
_OPTION_WORDS = frozenset(["option", "options", "choice", "choices", "letter", "letters"])
_BRACKETS = frozenset("([\"'")
_CLOSE = re.compile(r"\s?[)\]\"']")
_LINE_START = re.compile(r"(?:^|\n)[ \t>(\[\"'-]*$")
_LISTED = re.compile(r"\s*\Z|[.):](?:\s|$)")
_SIGN_OR_END = re.compile(r"\s?(?:[)\]\"'.:,;=?!/|&+\n(<]|$|->|-(?!\w))")
_SCRIPT = re.compile("\\s?[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
# Words that cannot follow the article.
_NO_NOUN = re.compile(
    r"\s(?:or|and|nor|vs|versus|then|but|because|is|was|are|as|since|due|for|given|not|would|shows?|has|seems|looks"
    r"|fits"
    r"|matches|best|than|o|y|e|ou|et|und|oder|cannot|can't|isn't|too|[B-Z](?![\w'-]))\b"
)
_RANGE = re.compile(r"\bA\s?(?:to|through|-|到|至)\s?([B-Z])\b")
_ORDINALS = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4}
_ORDINAL = re.compile(
    r"\bthe\s(first|second|third|fourth|fifth|last)\s(?:option|choice|answer)\b"
    r"|\A\W{0,4}the\s(first|second|third|fourth|fifth|last)\sone\W{0,4}\Z",
    re.IGNORECASE,
)


def mark_letters(text: str, letters: str) -> str:
    """The text with a mark in place of every letter or ordinal ("the second option") that names an option.

    A capital that is not on offer is marked `OFF` where it is declared. A range of all options ("A to D") is no answer.
    """
    text = _RANGE.sub(lambda match: match[0] if match[1] != letters[-1] else "all", text)
    text = _ORDINAL.sub(lambda match: _ordinal_mark((match[1] or match[2]).lower(), len(letters)), text)
    return _ALONE.sub(lambda match: _mark_at(text, match.start(), letters) or match[0], text)


def _ordinal_mark(word: str, count: int) -> str:
    index = _ORDINALS.get(word, count - 1)  # "last"
    return letter_mark(chr(ord("A") + index)) if index < count else OFF


def _mark_at(text: str, start: int, letters: str) -> str | None:
    """The mark of the single letter at `start`, or None if it names no option."""
    character, letter, end = text[start], text[start].upper(), start + 1
    if letter not in letters and character != letter:
        return None
    before = text[max(0, start - 32) : start]
    words = before.rstrip(" :.=-([\"'").rpartition(" ")
    last_word = words[2].rpartition("\n")[2].lower()
    if last_word in _NAMES and before[-1:] in " :." and not _TAKES.search(before):
        return None
    if letter == "I" and _PRONOUN.match(text, end) and not _NO_NOUN.match(text, end):
        return None  # "the option I choose"
    if letter in letters and character == letter and letter not in "AI":
        return letter_mark(letter)
    bracketed = before.rstrip()[-1:] in _BRACKETS and _CLOSE.match(text, end) is not None
    cued = last_word in _CUE_ENDS and _CUE.search(before) is not None
    if letter not in letters:
        alone = not before.strip() and not text[end:].strip(" .):\"'")
        return OFF if bracketed or cued or alone else None
    sure = bracketed or (
        _is_no_word(text, start, before, last_word)
        if letter in "AI"
        else cued or _is_listed(text, start, before, last_word)
    )
    return letter_mark(letter) if sure else None


def _is_no_word(text: str, start: int, before: str, last_word: str) -> bool:
    """Whether "A", "a", "I" or "i" is neither the article nor the pronoun."""
    character, end = text[start], start + 1
    option = last_word in _OPTION_WORDS and before[-1:] == " "
    signed = _SIGN_OR_END.match(text, end) is not None
    at_start = _LINE_START.search(before) is not None
    if character == "A":
        return option or signed or bool(_SCRIPT.match(text, end) or _NO_NOUN.match(text, end))
    if character == "I":
        return option or (signed and at_start)
    declared = option or before.rstrip()[-1:] in (":", "=")
    return signed and (declared or (at_start and text[end : end + 1] in (")", ".", ":", "")))


def _is_listed(text: str, start: int, before: str, last_word: str) -> bool:
    """Whether a lower case letter is said to be the answer ("it's d.") or begins a line ("b) medium")."""
    if last_word in _SAID_ENDS and _SIGN_OR_END.match(text, start + 1) and _SAID.search(before):
        return True
    return _LISTED.match(text, start + 1) is not None and _LINE_START.search(before) is not None


# A verb after the text makes it the subject of an explanation: "B. A close up would be tighter."
_VERB = (
    r"(?!\s?(?:would|is|are|was|were|shows?|has|have|could|might|may|can|will|does|requires?|means|implies|needs?"
    r"|usually"
    r"|typically)\b)"
)
_LETTER_TEXT = re.compile(
    rf"({LETTERS})(?P<sign>\s?[.):,\]\"'=(>-]{{0,3}}\s?[(\[\"'-]?\s?(?:(?:[Aa]|[Aa]n|[Tt]he)\s)?)({TEXTS}"
    rf"|{OFF})(?:\s?[)\]\"'])?{_VERB}"
)
_TEXT_LETTER = re.compile(
    rf"({TEXTS}|{OFF})\s?,?\s?(?:[(\[\"'-]\s?(?:{_NOUN}\s)?|{_NOUN}\s[(\[\"']?)({LETTERS})(?:\s?[)\]\"'])?",
    re.IGNORECASE,
)


def join_letters_and_texts(text: str) -> str:
    """The text with one mark for a letter with its option's text, and `CONFLICT` for one with another text."""
    text = _TEXT_LETTER.sub(lambda match: _joined(match[2], match[1]), text)
    return _LETTER_TEXT.sub(_joined_text, text)


def _joined_text(match: re.Match[str]) -> str:
    mark = _joined(match[1], match[3])
    return match[0] if mark == CONFLICT and "," in match["sign"] else mark  # "B, close up": two options


def _joined(letter: str, text: str) -> str:
    same = text != OFF and (ord(letter) ^ ord(text)) & 31 == 0
    return letter if same else CONFLICT
