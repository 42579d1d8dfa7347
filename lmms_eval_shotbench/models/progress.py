"""A progress bar for items of different cost: clips come first and take ten times as long as stills."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from lmms_eval_shotbench.progress import progress_bar
from lmms_eval_shotbench.runs.response_store import Response

BAR = "{desc} {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
LINE = "{desc} {percentage:3.0f}% [{elapsed}<{remaining}]"  # of a log


class Progress:
    """Counts items and new tokens; estimates the remaining time from the tokens of finished and pending prompts."""

    def __init__(self, name: str, weights: Mapping[str, int], done: int, items: int, shown: bool) -> None:
        """Start the progress bar.

        Args:
            name: Label of the bar.
            weights: Tokens of each pending prompt, by key.
            done: Number of items answered in an earlier run.
            items: Total number of items, including `done`.
            shown: Whether to display the bar.
        """
        self._name, self._weights = name, weights
        self._done, self._items, self._new_tokens = done, items, 0
        self._started = time.monotonic()
        label, form = f"{name} {done:,}/{items:,} items", BAR if sys.stderr.isatty() else LINE
        tokens = sum(weights.values())
        self._bar = progress_bar(label, tokens, "token", bar_format=form, smoothing=0.1, disable=not shown)

    def add(self, answers: Mapping[str, object]) -> None:
        """Count the answers of a batch, by key."""
        self._done += len(answers)
        self._new_tokens += sum(one.output_tokens or 0 for one in answers.values() if isinstance(one, Response))
        rate = self._new_tokens / max(time.monotonic() - self._started, 1e-3)
        counted = f"{self._name} {self._done:,}/{self._items:,} items, {rate:,.0f} new tokens/s"
        self._bar.set_description_str(counted, refresh=False)
        self._bar.update(sum(self._weights.get(key, 0) for key in answers))

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()
