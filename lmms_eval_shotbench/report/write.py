"""`shotbench report`: the page, scores.json and report.md beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.report.assemble import ReportData
from lmms_eval_shotbench.report.charts import all_charts
from lmms_eval_shotbench.report.explorer import MB, explorer_section
from lmms_eval_shotbench.report.markdown import model_card
from lmms_eval_shotbench.report.numbers import report_numbers
from lmms_eval_shotbench.report.page import page
from lmms_eval_shotbench.runs.scores_schema import BadRun

NUMBERS, CARD = "scores.json", "report.md"
PAGE_MB = 15.0  # of the whole page, unless more pictures are asked for
THUMBNAILS_MB = 8.0  # of all pictures, where the rest of the page leaves as much


def write_report(data: ReportData, out: Path, thumbnails_mb: float | None = None) -> None:
    """Write all three files, each whole; nothing is written where one cannot be made.

    Without `thumbnails_mb` the pictures take what the page's 15 MB leave them, 8 MB at most.

    Raises:
        BadRun: beside `out` lies a scores.json that is no report's, such as a run's own; or `out` cannot be written.
    """
    _require_own_folder(out)
    numbers = report_numbers(data)
    html = _page(data, numbers, thumbnails_mb)
    written = {out.parent / NUMBERS: json.dumps(numbers, indent=1) + "\n", out.parent / CARD: model_card(numbers)}
    try:
        for path, text in (written | {out: html}).items():
            write_atomic(path, text)
    except OSError as error:
        raise BadRun(f"{out} cannot be written ({error.strerror}); give another place with --out") from None


def _page(data: ReportData, numbers: dict[str, Any], thumbnails_mb: float | None) -> str:
    runs, charts = [one.run for one in data.runs], all_charts(numbers)
    if thumbnails_mb is None:
        without = page(numbers, charts, explorer_section(runs, 0))
        thumbnails_mb = min(THUMBNAILS_MB, PAGE_MB - len(without.encode()) / MB)
    return page(numbers, charts, explorer_section(runs, thumbnails_mb))


def _require_own_folder(out: Path) -> None:
    """A run's scores.json must not give way to a report's."""
    beside = out.parent / NUMBERS
    if out.is_dir():
        raise BadRun(f"{out} is a folder; name the page in it, such as {out / 'report.html'}")
    if out.name in (NUMBERS, CARD):
        raise BadRun(f"{out}: this name is for the report's numbers or table; call the page otherwise, as report.html")
    if beside.exists() and not _is_of_a_report(beside):
        raise BadRun(f"{beside} is no report's and would be lost; write the page into a folder of its own with --out")


def _is_of_a_report(file: Path) -> bool:
    try:
        kept: Any = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(kept, dict) and "runs" in kept and "published_items" in kept
