"""Messages of commands on standard error."""

from __future__ import annotations

import sys


def print_error(text: str) -> None:
    """Print to standard error; lone surrogates, as in file names that are not UTF-8, are escaped."""
    print(text.encode(errors="backslashreplace").decode(), file=sys.stderr)
