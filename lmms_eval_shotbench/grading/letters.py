"""Mark the options that a text names by their letter, and join a letter with its text ("B. Medium") to one mark.

A letter counts if nothing else can be meant: a capital that stands alone, except the article "A", the pronoun "I" and
names ("Plan A"); a lower case letter in brackets, after a word such as "answer", or before a sign at the beginning of a
line.

Standard library only; linear time.
"""

from __future__ import annotations

import re

from lmms_eval_shotbench.grading.terms import CONFLICT, LETTER_MARK, LETTERS, OFF, TEXTS

_ALONE = re.compile(r"(?<!\w)(?<!\w')(?<![A-Za-z]\.)(?<!\d )[A-Za-z](?!\w|'\w|-\w|\.\w|\.\s?[A-Z]\.\s?[A-Z][a-z])")
# Words after which a capital is a name and no option.
_NAME = re.compile(
    r"\b(?:plan|grade|figure|fig|vitamin|type|class|series|section|part|side|scene|camera|take|person|character|subject"
    r"|roll|team|man|woman|actor|point|studio|block|phase|tier)s?\s?[:.]?\s?$",
    re.IGNORECASE,
)
_NOUN = r"(?:answer|option|choice|letter|selection|prediction|verdict|solution)"
_CUE = re.compile(
    rf"\b(?:{_NOUN}s?|choose|select|pick)(?:\s(?:is|are|would be|should be|must be))?\s?[:=-]?\s?"
    rf"(?:(?:the\s)?{_NOUN}\s?:?\s?)?[(\[\"']{{0,2}}\s?$",
    re.IGNORECASE,
)
_SAID = re.compile(r"\b(?:it's|it is|go with|going with|i think|i'd say|i say|so|hence|therefore|thus)\s$", re.IGNORECASE)
_OPTION = re.compile(r"\b(?:option|choice|letter)s?\s[(\[\"']?$", re.IGNORECASE)
_OPEN = re.compile(r"[(\[\"']\s?$")
_CLOSE = re.compile(r"\s?[)\]\"']")
_LINE_START = re.compile(r"(?:^|\n)[ \t>(\[\"'-]*$")
_SCRIPT = re.compile("\\s?[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_LISTED = re.compile(r"\s*\Z|[.):](?:\s|$)")
_SIGN_OR_END = re.compile(r"\s?(?:[)\]\"'.:,;=?!/|&+\n(<]|$|->|-(?!\w))")
# Words that cannot follow the article.
_NO_NOUN = re.compile(
    r"\s(?:or|and|nor|vs|versus|then|but|because|is|was|are|as|since|due|for|given|not|would|shows?|has|seems|looks|fits"
    r"|matches|best|than|o|y|e|ou|et|und|oder|cannot|can't|isn't|too)\b"
)


def mark_letters(text: str, letters: str) -> str:
    """The text with a mark in place of every letter that names an option; letters not on offer only where declared."""

    def mark(match: re.Match[str]) -> str:
        return _mark_of(text, match.start(), letters) or match[0]

    text = _RANGE.sub(lambda match: match[0] if match[1] != letters[-1] else "all", text)
    text = _ORDINAL.sub(lambda match: _ordinal_mark(match[1] or match[2], letters), text)
    return _ALONE.sub(mark, text)


_RANGE = re.compile(r"\bA\s?(?:to|through|-|到|至)\s?([B-Z])\b")
_ORDINALS = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "last": -1}
_ORDINAL = re.compile(
    r"\bthe\s(first|second|third|fourth|fifth|last)\s(?:option|choice|answer)\b|\A\W*the\s(first|second|third|fourth|fifth|last)\sone\b(?=\W*\Z)",
    re.IGNORECASE,
)


def _ordinal_mark(word: str, letters: str) -> str:
    index = _ORDINALS[word.lower()] % len(letters) if _ORDINALS[word.lower()] < len(letters) else -1
    return chr(LETTER_MARK + index) if index >= 0 else OFF


def _mark_of(text: str, start: int, letters: str) -> str | None:
    character, end = text[start], start + 1
    before = text[max(0, start - 32) : start]
    letter = character.upper()
    offered = letter in letters
    bracketed = bool(_OPEN.search(before) and _CLOSE.match(text, end))
    if character in "AaIi":
        option = _OPTION.search(before)
        sure = bracketed or (option and character == "A") or _SCRIPT.match(text, end) or _SIGN_OR_END.match(text, end) or (letter == "A" and _NO_NOUN.match(text, end) and (option or character == "A"))
        if character == "I" and not (bracketed or option):
            sure = _SIGN_OR_END.match(text, end) and _LINE_START.search(before)
        if character in "ai" and not bracketed:
            sure = sure and (option or before.rstrip()[-1:] in (":", "=")  or _LINE_START.search(before) and text[end : end + 1] in (")", ".", ":", ""))
        if not sure:
            return None
    elif character.islower() and not (
        bracketed
        or _CUE.search(before)
        or (_SAID.search(before) and _SIGN_OR_END.match(text, end))
        or (_LINE_START.search(before) and _LISTED.match(text, end))
    ):
        return None
    if not offered:
        declared = bracketed or _CUE.search(before) or (not before.strip() and not text[end:].strip(" .):\"'"))
        return OFF if declared and character.isupper() else None
    if _NAME.search(before):
        return None
    return chr(LETTER_MARK + ord(letter) - ord("A"))


# A verb after the text makes it the subject of an explanation: "B. A close up would be tighter."
_VERB = r"(?!\s?(?:would|is|are|was|were|shows?|has|have|could|might|may|can|will|does|requires?|means|implies|needs?|usually|typically)\b)"
_LETTER_TEXT = re.compile(
    rf"({LETTERS})(?P<sign>\s?[.):,\]\"'=(>-]{{0,3}}\s?[(\[\"'-]?\s?(?:(?:a|an|the)\s)?)({TEXTS}|{OFF})(?:\s?[)\]\"'])?{_VERB}",
    re.IGNORECASE,
)
_TEXT_LETTER = re.compile(rf"({TEXTS}|{OFF})\s?,?\s?(?:[(\[\"'-]\s?(?:{_NOUN}\s)?|{_NOUN}\s[(\[\"']?)({LETTERS})(?:\s?[)\]\"'])?", re.IGNORECASE)


def join_letters_and_texts(text: str) -> str:
    """The text with one mark for a letter with its option's text, and `CONFLICT` for one with another text."""
    text = _LETTER_TEXT.sub(lambda match: match[0] if "," in match["sign"] and not _same(match[1], match[3]) else _joined(match[1], match[3]), text)
    return _TEXT_LETTER.sub(lambda match: _joined(match[2], match[1]), text)


def _same(letter: str, text: str) -> bool:
    return text != OFF and (ord(letter) ^ ord(text)) & 31 == 0


def _joined(letter: str, text: str) -> str:
    return letter if _same(letter, text) else CONFLICT
