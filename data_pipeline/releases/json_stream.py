"""Stream the entries of a JSON file of any size.

Owns parsing an array, or concatenated entries, in bounded memory. Interpreting an entry is left to the caller.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

BUFFER_CHARACTERS = 1 << 20
ENTRY_CHARACTERS = 1 << 26  # longer than any valid entry; anything longer is treated as broken
_BETWEEN = " \t\r\n,"


class BrokenJson(ValueError):
    """The file is not JSON, or is truncated."""


def json_entries(path: Path) -> Iterator[object]:
    """Yield the entries of an array, or of concatenated JSON values; raises `BrokenJson`."""
    try:
        with path.open(encoding="utf-8-sig") as stream:
            text = _Buffer(stream, path)
            in_array = text.next_character() == "["
            text.position += in_array
            while (character := text.next_character()) not in ("", "]"):
                yield text.next_value()
            if in_array != (character == "]"):
                raise BrokenJson(f"{path} is cut off or broken; download it again")
    except UnicodeDecodeError as error:
        raise BrokenJson(f"{path} is not UTF-8 ({error}); download it again") from None


class _Buffer:
    """The part of a file being parsed; `position` is the index of the next character."""

    def __init__(self, stream: TextIO, path: Path) -> None:
        self.position = 0
        self._text, self._stream, self._path, self._at_end = "", stream, path, False
        self._decoder = json.JSONDecoder()

    def next_character(self) -> str:
        """Return the next character other than whitespace and commas, or an empty string at the end of the file."""
        while True:
            while self.position < len(self._text) and self._text[self.position] in _BETWEEN:
                self.position += 1
            if self.position < len(self._text) or not self._read_on():
                return self._text[self.position : self.position + 1]

    def next_value(self) -> object:
        """Parse the value that begins at `position`."""
        while True:
            problem: Exception | None = None
            try:
                value, end = self._decoder.raw_decode(self._text, self.position)
            except (ValueError, RecursionError) as error:
                problem = error  # or the value is not complete yet
            # A number at the end of the buffer may continue.
            complete = problem is None and (end < len(self._text) or self._at_end)
            if not complete and len(self._text) - self.position < ENTRY_CHARACTERS and self._read_on():
                continue
            if problem is not None:
                raise BrokenJson(f"{self._path} is cut off or broken ({problem}); download it again")
            self.position = end
            return value

    def _read_on(self) -> bool:
        """Append text, doubling the buffer to avoid reparsing long values too often; False at the end of the file."""
        added = self._stream.read(max(BUFFER_CHARACTERS, len(self._text) - self.position))
        self._at_end = not added
        self._text, self.position = self._text[self.position :] + added, 0
        return bool(added)
