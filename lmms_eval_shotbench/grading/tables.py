"""Read a Markdown table of options with a verdict on each ("✓", "no") as one line per option.

Standard library only; linear time.
"""

from __future__ import annotations

import re

_ROW = re.compile(r"^[ \t]*\|?([^|\n]*\|[^\n]*?)\|?[ \t]*$", re.MULTILINE)
_RULE = re.compile(r"[\s:|-]+")  # the line between the header and the rows
_AROUND = " \t*_`.!"
_VERDICT = re.compile(r"(?:([✓✗])(?:\W.*)?|(yes|true|correct|right)|(no|false|incorrect|wrong))", re.IGNORECASE)
_EXCLUDES = re.compile(r"\b(?:ruled|eliminat|exclud|reject|discard|wrong|incorrect|out\b)", re.IGNORECASE)
_LETTER = re.compile(r"(?:option\s)?\(?[A-Z]\)?\.?", re.IGNORECASE)


def read_tables(text: str) -> str:
    """The text with a tick or a cross after the option of every row that has a verdict, and nothing else in the row."""
    if "|" not in text or not _RULE_LINE.search(text):
        return text
    header: list[str] = []

    def row(match: re.Match[str]) -> str:
        nonlocal header
        cells = [cell.strip(_AROUND) for cell in match[1].split("|")]
        if _RULE.fullmatch(match[0]):
            return ""
        verdicts = {place: found for place, cell in enumerate(cells) if place and (found := _VERDICT.fullmatch(cell))}
        if not verdicts:
            header = cells
            return match[0]
        fits = all(
            (found[0][0] == "✓" or bool(found[2])) != bool(place < len(header) and _EXCLUDES.search(header[place]))
            for place, found in verdicts.items()
        )
        named = cells[: 2 if _LETTER.fullmatch(cells[0]) and 1 not in verdicts else 1]
        return f"{'. '.join(named)} {'✓' if fits else '✗'}"

    return _ROW.sub(row, text)


_RULE_LINE = re.compile(r"^[ \t]*\|?[ \t]*:?-+:?[ \t]*\|[\s:|-]*$", re.MULTILINE)
