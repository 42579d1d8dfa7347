"""The entries of a JSON file one at a time, however large it is.

Owns the reading of an array, or of one entry a line, in bounded memory. What an entry says is the caller's affair.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

BUFFER_CHARACTERS = 1 << 20
ENTRY_CHARACTERS = 1 << 26  # longer than any entry; what does not end by then is broken
_BETWEEN = " \t\r\n,"


class BrokenJson(ValueError):
    """A file that is no JSON, or is cut off."""


def json_entries(path: Path) -> Iterator[object]:
    """Yield the entries of an array, or of a file that holds one entry after the other; raise `BrokenJson`."""
    try:
        with path.open(encoding="utf-8-sig") as stream:
            text = _Buffer(stream, path)
            in_array = text.next_sign() == "["
            text.place += in_array
            while (sign := text.next_sign()) not in ("", "]"):
                yield text.next_value()
            if in_array != (sign == "]"):
                raise BrokenJson(f"{path} is cut off or broken; download it again")
    except UnicodeDecodeError as error:
        raise BrokenJson(f"{path} is not in UTF-8 ({error}); download it again") from None


class _Buffer:
    """The part of a file that is being read; `place` is where the next sign stands."""

    def __init__(self, stream: TextIO, path: Path) -> None:
        self.place = 0
        self._text, self._stream, self._path, self._at_end = "", stream, path, False
        self._decoder = json.JSONDecoder()

    def next_sign(self) -> str:
        """The next sign that is neither blank nor comma; empty at the end of the file."""
        while True:
            while self.place < len(self._text) and self._text[self.place] in _BETWEEN:
                self.place += 1
            if self.place < len(self._text) or not self._read_on():
                return self._text[self.place : self.place + 1]

    def next_value(self) -> object:
        """The value that begins at `place`."""
        while True:
            problem: Exception | None = None
            try:
                value, end = self._decoder.raw_decode(self._text, self.place)
            except (ValueError, RecursionError) as error:
                problem = error  # or only not whole yet
            whole = problem is None and (end < len(self._text) or self._at_end)  # a number at the end may go on
            if not whole and len(self._text) - self.place < ENTRY_CHARACTERS and self._read_on():
                continue
            if problem is not None:
                raise BrokenJson(f"{self._path} is cut off or broken ({problem}); download it again")
            self.place = end
            return value

    def _read_on(self) -> bool:
        """Read more behind what is left, each time as much again: a long value is not parsed too often."""
        added = self._stream.read(max(BUFFER_CHARACTERS, len(self._text) - self.place))
        self._at_end = not added
        self._text, self.place = self._text[self.place :] + added, 0
        return bool(added)
