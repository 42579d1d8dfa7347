"""What a command tells people, on standard error. Names from outside may hold anything."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    print(text.encode(errors="backslashreplace").decode(), file=sys.stderr)
