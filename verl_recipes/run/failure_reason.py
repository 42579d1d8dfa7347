"""Find the reason of a failed attempt in the trainer's log: an error that our code inside verl raised, or one of vLLM.

Ray prints an error with the traceback of each process that passed it on, hundreds of lines in all. vLLM's processes log
their errors themselves; what reaches the trainer states only that there was one.
"""

from __future__ import annotations

import re
from pathlib import Path

TAIL_BYTES = 5_000_000  # of the log; each prompt of a step that fails adds tracebacks
OURS = re.compile(r"\bverl_recipes\.\w+\.(?:\w+\.)*[A-Z]\w*: (.+)")
VLLM = re.compile(  # after level, time and file: an error, or that one of its processes ended
    r"\b(?:ERROR|WARNING) \d\d-\d\d [\d:]+ \[\w+\.py:\d+\] (?:\[shutdown\] )?"
    r"((?:[\w.]*(?:Error|Exception)|MPClient): \S.*|Worker proc .* died .*)"
)


def failure_reason(log: Path) -> str | None:
    """Message of the error in a log that ended the attempt, or None if it is neither ours nor vLLM's."""
    with log.open("rb") as stream:
        stream.seek(max(log.stat().st_size - TAIL_BYTES, 0))
        tail = stream.read().decode(errors="replace")
    ours = list(OURS.finditer(tail))
    of_vllm = VLLM.search(tail)  # its further errors follow from the first
    found = []
    if of_vllm and not (ours and ours[0].start() < of_vllm.start()):  # else it ended with the run
        found.append(f"vLLM failed: {of_vllm[1].strip()}")
    if ours:
        found.append(ours[-1][1].strip())
    return "; ".join(found) or None
