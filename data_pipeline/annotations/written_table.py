"""Write an annotation table that `shotbench data films --table` reads, with a column for every dimension."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from lmms_eval_shotbench.labelling.shot_sheet import TIME_COLUMNS
from lmms_eval_shotbench.vocabulary import slugs

ALWAYS = ("film_id", "media", "shot_id", "start", "end")
OPTIONAL = ("start_frame", "end_frame", *TIME_COLUMNS[2:], "still")  # columns that are left out if they have no cell


def table_as_csv(rows: Sequence[Mapping[str, str]]) -> str:
    """The table as CSV; a cell that a row lacks is empty."""
    used = [name for name in OPTIONAL if any(row.get(name) for row in rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*ALWAYS, *used, *slugs()], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
