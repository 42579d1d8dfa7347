"""Figures of others on ShotBench, as printed, and how a run differs from them.

`leaderboard.csv`: 24 models, ShotVL-3B and two versions of ShotVL-7B, each with its source. The averages printed there
are of different kinds: the baselines' are means over dimensions, ShotVL's are the reference scorer's, over items.

Others' answers to the single items are not public, so a difference cannot be paired. It is tested dimension by
dimension with the two-proportion normal test, the published figure taken on as many items as the run's, both taken for
independent; p is corrected by Holm over the dimensions.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from lmms_eval_shotbench.runs.stored_runs import StoredRun
from lmms_eval_shotbench.scoring.paired import LEVEL, holm
from lmms_eval_shotbench.vocabulary import DIMENSIONS

SHOTBENCH_ITEMS = 3572  # what the published figures rest on


@dataclass(frozen=True)
class PublishedRow:
    """One row; all figures in percent, as printed."""

    model: str
    kind: str  # open, proprietary, shotvl
    by_dimension: Mapping[str, float]  # by slug
    average: float
    source: str


@cache
def published_rows() -> tuple[PublishedRow, ...]:
    """All rows, in the order of the file."""
    text = resources.files(__package__).joinpath("leaderboard.csv").read_text(encoding="utf-8")
    return tuple(
        PublishedRow(
            row["model"],
            row["kind"],
            {dimension.slug: float(row[dimension.abbreviation]) for dimension in DIMENSIONS},
            float(row["avg_printed"]),
            row["source"],
        )
        for row in csv.DictReader(text.splitlines())
    )


def asks_all_of_shotbench(run: StoredRun) -> bool:
    """Whether the run was asked what the published figures rest on, as far as ids and number tell."""
    return len(run.items) == SHOTBENCH_ITEMS and all(item.item_id.startswith("shotbench-") for item in run.items)


def differences_from(row: PublishedRow, accuracy: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Run minus row by slug: `difference` (a share), `p`, `p_holm`, `differs`; `accuracy` as in scores.json."""
    found = {
        slug: (estimate["value"] - row.by_dimension[slug] / 100, int(estimate["n"]))
        for slug, estimate in accuracy.items()
    }
    p = {slug: _two_proportions(row.by_dimension[slug] / 100, apart, n) for slug, (apart, n) in found.items()}
    p_holm = holm(p)
    return {
        slug: {"difference": apart, "p": p[slug], "p_holm": p_holm[slug], "differs": p_holm[slug] < LEVEL}
        for slug, (apart, _) in found.items()
    }


def _two_proportions(published: float, apart: float, n: int) -> float:
    """Two-sided p of the two-proportion normal test (pooled), both shares over `n` items."""
    pooled = published + apart / 2
    stderr = math.sqrt(max(0.0, 2 * pooled * (1 - pooled) / n))
    return math.erfc(abs(apart) / stderr / math.sqrt(2)) if stderr else 1.0


def signs(differences: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """In how many dimensions a run is significantly above, and below."""
    apart = [one["difference"] for one in differences if one["differs"]]
    return sum(each > 0 for each in apart), sum(each < 0 for each in apart)
