"""Text of cells as other keyboards and programs write it: full-width characters, invisible characters at the ends."""

from __future__ import annotations

import re

_ASCII = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}  # from the full-width forms of Unicode
_HALF_WIDTH = _ASCII | {0x3000: " ", ord("、"): ","}  # ideographic blank and comma
_OUTSIDE = re.compile(r"^[\s\u200b-\u200f\u2060\ufeff\u00ad]+|[\s\u200b-\u200f\u2060\ufeff\u00ad]+$")


def half_width(text: str) -> str:
    """Return a text with ASCII letters, digits and punctuation in place of full-width ones, such as `：` and `１`."""
    return text.translate(_HALF_WIDTH)


def trimmed(text: str) -> str:
    """Return a text without blanks and invisible characters, such as zero-width spaces, at its ends."""
    return _OUTSIDE.sub("", text)
