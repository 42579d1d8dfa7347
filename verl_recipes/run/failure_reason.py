"""Find the reason of a failed attempt in the trainer's log: the last error that our code inside verl raised.

Ray prints such an error with the traceback of each process that passed it on, hundreds of lines in all.
"""

from __future__ import annotations

import re
from pathlib import Path

TAIL_BYTES = 200_000  # of the log; the tracebacks are at its end
ERROR = re.compile(r"\bverl_recipes\.\w+\.(?:\w+\.)*[A-Z]\w*: (.+)")


def failure_reason(log: Path) -> str | None:
    """Message of the last error of this package in a log, or None if there is none."""
    with log.open("rb") as stream:
        stream.seek(max(log.stat().st_size - TAIL_BYTES, 0))
        found = ERROR.findall(stream.read().decode(errors="replace"))
    return found[-1].strip() if found else None
