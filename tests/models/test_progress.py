"""Progress of an evaluation: items, new tokens per second, and the remaining time by the tokens of the prompts."""

from __future__ import annotations

import re

import pytest

from lmms_eval_shotbench import progress
from lmms_eval_shotbench.models.progress import Progress
from lmms_eval_shotbench.runs.response_store import Response


def test_progress_shows_items_tokens_a_second_and_the_remaining_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    weights = {str(number): 100 * number for number in range(1, 5)}
    with Progress("shotvl", weights, done=2, items=6, shown=True) as bar:
        for key in weights:
            bar.add({key: Response("B", 100, 3)})
    shown = re.findall(
        r"^[\d:]{8} shotvl (\d)/6 items, ([\d,]+) new tokens/s +(\d+)% \[[\d:]+<([\d:?]+)\]$",
        capsys.readouterr().err,
        re.MULTILINE,
    )
    assert [int(items) for items, *_ in shown] == [3, 4, 5, 6], shown
    assert [int(percent) for _, _, percent, _ in shown] == [10, 30, 60, 100]
    assert all(int(rate.replace(",", "")) > 0 for _, rate, _, _ in shown)
    assert shown[-1][3] == "00:00"
