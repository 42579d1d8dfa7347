"""The text of an error of a library, for a message of one line."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its type if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
