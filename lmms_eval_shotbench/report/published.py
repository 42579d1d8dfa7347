"""Published figures on ShotBench, as printed, and the differences of a run from them.

`leaderboard.csv`: 24 models, ShotVL-3B and two versions of ShotVL-7B, each with its source. The printed averages are of
different kinds: those of the baselines are means over dimensions, those of ShotVL over items, by the reference scorer.

Published answers to single items are not available, so differences cannot be paired. Each dimension is tested with the
two-proportion normal test, assuming as many items as in the run and independence; p is Holm-corrected over dimensions.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from lmms_eval_shotbench.qa_item import SHOTBENCH, QAItem, is_of_source
from lmms_eval_shotbench.runs.stored_runs import StoredRun
from lmms_eval_shotbench.scoring.paired import LEVEL, holm
from lmms_eval_shotbench.vocabulary import DIMENSIONS, slugs

SHOTBENCH_ITEMS = 3572  # number of items of the published figures; releases have 3,572 and 3,608
FEWEST_ITEMS = 3_000  # of a run on all of a release; tests and demonstrations have far fewer
COMPLETE = 0.99  # minimum share of the indices up to the last one; a few rows of a release may be broken


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
    """Return all rows, in file order."""
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


def published_averages(model: str) -> str:
    """Return the averages printed for this model, in percent, each once; "" if it is in no row."""
    return ", ".join(dict.fromkeys(f"{row.average:.1f}" for row in published_rows() if row.model == model))


def asks_all_of_shotbench(run: StoredRun) -> bool:
    """Whether the run has the items of a release of ShotBench."""
    return _is_release({item.index: item.dimension for item in run.items}, [item.item_id for item in run.items])


def are_all_of_shotbench(items: Sequence[QAItem]) -> bool:
    """Whether the questions are those of a release of ShotBench."""
    return _is_release({item.source_index: item.dimension for item in items}, [item.item_id for item in items])


def _is_release(dimensions: Mapping[int, str], ids: Iterable[str]) -> bool:
    """Whether these are the questions of a release, judged by ids, dimensions and gaps between indices.

    The exact number is not compared, as releases differ in it. They are sorted by dimension, so that the first part of
    one lacks dimensions.
    """
    fewest = max(FEWEST_ITEMS, COMPLETE * max(dimensions, default=0))
    complete = len(dimensions) >= fewest and set(dimensions.values()) == set(slugs())
    return complete and all(is_of_source(item_id, SHOTBENCH) for item_id in ids)


def differences_from(row: PublishedRow, accuracy: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return run minus row by slug: `difference` (a share), `p`, `p_holm`, `differs`; `accuracy` as in scores.json."""
    found = {
        slug: (estimate["value"] - row.by_dimension[slug] / 100, int(estimate["n"]))
        for slug, estimate in accuracy.items()
    }
    p = {slug: _two_proportions(row.by_dimension[slug] / 100, difference, n) for slug, (difference, n) in found.items()}
    p_holm = holm(p)
    return {
        slug: {"difference": difference, "p": p[slug], "p_holm": p_holm[slug], "differs": p_holm[slug] < LEVEL}
        for slug, (difference, _) in found.items()
    }


def _two_proportions(published: float, difference: float, n: int) -> float:
    """Return the two-sided p of the pooled two-proportion normal test, both shares over `n` items."""
    pooled = published + difference / 2
    stderr = math.sqrt(max(0.0, 2 * pooled * (1 - pooled) / n))
    return math.erfc(abs(difference) / stderr / math.sqrt(2)) if stderr else 1.0


def signs(differences: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Return the number of dimensions in which a run is significantly above, and below."""
    significant = [one["difference"] for one in differences if one["differs"]]
    return sum(each > 0 for each in significant), sum(each < 0 for each in significant)
