"""Log-probabilities of terms stored while films are labelled, from which an interrupted run resumes.

One JSON object per line, appended as batches finish. The key covers everything that determines them (medium, view,
prompt, terms, weights, numerics), so that runs of other models or settings may share the file. `Normalization` is
applied to what is stored, and no part of the key: another one asks nothing again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lmms_eval_shotbench.runs.response_store import append_lines, stored_rows

STORED = Path("votes") / "log_probabilities.jsonl"  # beside the files of a shot sheet
DECIMALS = 6


class VoteStore:
    """Log-probabilities of the terms of one question, in the order in which they were asked, by key."""

    def __init__(self, folder: Path) -> None:
        """Read what is stored in `folder`, the folder of the labels, which may not exist."""
        self._file = folder / STORED
        self._stored: dict[str, list[float]] = {}
        if self._file.exists():
            self._stored.update(stored_rows(self._file, lambda row: [float(one) for one in row["log_probabilities"]]))

    def __contains__(self, key: str) -> bool:
        return key in self._stored

    def __getitem__(self, key: str) -> Sequence[float]:
        return self._stored[key]

    def keep(self, found: Mapping[str, Sequence[float]]) -> None:
        """Store a batch; it is on disk when this returns. What is stored already stays as it is."""
        new = {key: [round(one, DECIMALS) for one in values] for key, values in found.items() if key not in self}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        append_lines(self._file, (json.dumps({"key": key, "log_probabilities": one}) for key, one in new.items()))
        self._stored.update(new)
