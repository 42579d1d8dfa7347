"""Failures of one medium: whatever a decoder raises on it becomes a `BrokenMedium` with the cause.

Owns the exceptions and the wording of causes. Pillow and FFmpeg document no closed set of exceptions for broken input,
and plug-ins raise their own, so any `Exception` counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

_PLAIN = (OSError, ValueError, SyntaxError)  # their messages are clear without the name of the type
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class BrokenMedium(ValueError):
    """A still or clip that cannot be decoded."""


class TooLarge(BrokenMedium):
    """A still or clip with too many pixels."""


class WithoutFrames(BrokenMedium):
    """A clip without a video stream, or whose video stream is empty."""


@contextmanager
def failures_as_broken(what: str) -> Iterator[None]:
    """Turn every exception into `BrokenMedium`.

    Args:
        what: What is decoded, for the message: still or clip.
    """
    try:
        yield
    except BrokenMedium:
        raise
    except Exception as error:
        raise BrokenMedium(f"{what} cannot be decoded: {cause_of(error)}") from error


def cause_of(error: BaseException) -> str:
    """The message of an exception on one line, without memory addresses, so that two runs report the same."""
    if type(error).__name__ == "UnidentifiedImageError":
        return "no known picture format"
    message = _ADDRESS.sub("", " ".join(str(getattr(error, "strerror", None) or error).split()))
    if isinstance(error, _PLAIN) and message:
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
