"""Marks: characters of a private area of Unicode that stand for options in a text, and helpers to write patterns.

`terms.py` and `letters.py` put a mark in place of everything that names an option, so that the rules are ordinary
patterns over English words and marks. `unified` (`plain_text.py`) removes such characters from responses.
"""

from __future__ import annotations

import re

LETTER_MARK, TEXT_MARK, DENIED_MARK = 0xE000, 0xE020, 0xE040  # of option A; the marks of B, C, … follow
OFF = chr(0xE060)  # a term or a letter that is not on offer
CONFLICT = chr(0xE061)  # a letter with the text of another option

# Patterns: an option named by its letter, by its text, in any way, and denied.
LETTERS, TEXTS, DENIED = (f"[{chr(first)}-{chr(first + 31)}]" for first in (LETTER_MARK, TEXT_MARK, DENIED_MARK))
MARK = f"[{chr(LETTER_MARK)}-{chr(TEXT_MARK + 31)}{OFF}{CONFLICT}]"

_MARKS = re.compile(MARK)
_DENIED_MARKS = re.compile(DENIED)


def letter_mark(letter: str) -> str:
    """The mark of an option named by its letter."""
    return chr(LETTER_MARK + ord(letter) - ord("A"))


def text_mark(letter: str) -> str:
    """The mark of an option named by its text."""
    return chr(TEXT_MARK + ord(letter) - ord("A"))


def denied_mark(mark: str) -> str:
    """The mark of the same option, denied; blank for what is not an option."""
    return chr(DENIED_MARK + (ord(mark) & 31)) if mark < chr(DENIED_MARK) else " "


def letter_of(mark: str) -> str:
    """The letter of a mark; `OFF` and `CONFLICT` are returned as they are."""
    return mark if mark in (OFF, CONFLICT) else chr(ord("A") + (ord(mark) & 31))


def marks_in(text: str) -> str:
    """The marks of a text that are not denied."""
    return "".join(_MARKS.findall(text))


def denied_in(text: str) -> str:
    """The denied marks of a text."""
    return "".join(_DENIED_MARKS.findall(text))


def has_mark(text: str) -> bool:
    """Whether a text names an option that is not denied."""
    return _MARKS.search(text) is not None


def words(alternatives: str) -> str:
    """A pattern that matches one of the alternatives, which are separated by bars with blanks around them.

    >>> words("choose | go(?:ing)? with")
    '(?:choose|go(?:ing)? with)'
    """
    joined = _BAR.sub("|", alternatives.strip())
    return f"(?:{joined})"


_BAR = re.compile(r"\s+[|]\s+|\n\s+[|]")  # also a bar at the beginning of a line
