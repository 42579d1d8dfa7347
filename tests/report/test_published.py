"""Which runs are compared with the published figures: those on all of a release, whatever its number of questions."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from lmms_eval_shotbench.report.published import asks_all_of_shotbench
from lmms_eval_shotbench.runs.stored_runs import AnsweredItem, StoredRun
from lmms_eval_shotbench.vocabulary import slugs


def run(indices: Iterable[int], total: int, source: str = "shotbench", dimensions: int = 8) -> StoredRun:
    """A run on a release of `total` rows, sorted by dimension."""
    names = slugs()[:dimensions]
    items = [
        AnsweredItem(i, f"{source}-{i}", names[(i - 1) * len(names) // total], "m", "A", "A", True, "") for i in indices
    ]
    return StoredRun("run", "strict", items)


@pytest.mark.parametrize("total", [3572, 3608, 3600])
def test_a_complete_release_of_any_size_is_all_of_shotbench(total: int) -> None:
    assert asks_all_of_shotbench(run(range(1, total + 1), total))
    assert asks_all_of_shotbench(run((i for i in range(1, total + 1) if i % 200), total))  # a few rows were broken


@pytest.mark.parametrize(
    "partial",
    [
        run(range(1, 3109), 3572),
        run(range(1, 3573, 2), 3572),
        run((i for i in range(1, 3609) if i % 20), 3608),
        run(range(1, 3573), 3572, source="refined"),
        run(range(1, 3573), 3572, dimensions=7),
        run(range(1, 81), 80),
        run([], 1),
    ],
    ids=["stills only", "every other", "one in twenty lost", "another source", "seven dimensions", "a demo", "empty"],
)
def test_a_part_of_a_release_is_not(partial: StoredRun) -> None:
    assert not asks_all_of_shotbench(partial)
