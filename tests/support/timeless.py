"""Responses without the time that they took, which differs between runs that are otherwise equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.runs.response_store import Answer, Response

TIMES = ("seconds", "wall_seconds")


def timeless(answer: Answer) -> Answer:
    """Return the answer without its times."""
    return answer._replace(seconds=None, wall_seconds=None) if isinstance(answer, Response) else answer


def timeless_samples(out: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's samples.jsonl without their times."""
    rows = map(json.loads, (out / "samples.jsonl").read_text(encoding="utf-8").splitlines())
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]
