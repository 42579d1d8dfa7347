"""`shotbench report`: writes the page, and scores.json and report.md in the same folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.report.assemble import ReportData
from lmms_eval_shotbench.report.charts import all_charts
from lmms_eval_shotbench.report.completions import completions_section
from lmms_eval_shotbench.report.explorer import MB, explorer_section
from lmms_eval_shotbench.report.markdown import report_markdown
from lmms_eval_shotbench.report.numbers import report_numbers
from lmms_eval_shotbench.report.page import page
from lmms_eval_shotbench.runs.scores_schema import BadRun

NUMBERS, CARD = "scores.json", "report.md"
PAGE_MB = 15.0  # maximum size of the page, unless `thumbnails_mb` is given
THUMBNAILS_MB = 8.0  # maximum size of all thumbnails, if the rest of the page leaves as much
OF_COMPLETIONS = 0.25  # share of the thumbnails of completions, if there are both


def write_report(data: ReportData, out: Path, thumbnails_mb: float | None = None) -> None:
    """Write all three files, each atomically; nothing is written if one cannot be created.

    Without `thumbnails_mb`, thumbnails take the remainder of the page's 15 MB, at most 8 MB.

    Raises:
        BadRun: The folder of `out` contains a scores.json that is not a report's, or `out` cannot be written.
    """
    _require_own_folder(out)
    numbers = report_numbers(data)
    html = _page(data, numbers, thumbnails_mb)
    written = {out.parent / NUMBERS: json.dumps(numbers, indent=1) + "\n", out.parent / CARD: report_markdown(numbers)}
    try:
        for path, text in (written | {out: html}).items():
            write_atomic(path, text)
    except OSError as error:
        raise BadRun(f"{out} cannot be written ({error.strerror}); give another path with --out") from None


def _page(data: ReportData, numbers: dict[str, Any], thumbnails_mb: float | None) -> str:
    runs, charts = [one.run for one in data.runs], all_charts(numbers)
    completions = completions_section(data.training, 0)
    if thumbnails_mb is None:
        without = page(numbers, charts, explorer_section(runs, 0), completions)
        thumbnails_mb = min(THUMBNAILS_MB, PAGE_MB - len(without.encode()) / MB)
    share = (OF_COMPLETIONS if runs else 1.0) if completions.html else 0.0
    return page(
        numbers,
        charts,
        explorer_section(runs, (1 - share) * thumbnails_mb),
        completions_section(data.training, share * thumbnails_mb),
    )


def _require_own_folder(out: Path) -> None:
    """Raise `BadRun` if the report would overwrite a run's scores.json."""
    existing = out.parent / NUMBERS
    if out.is_dir():
        raise BadRun(f"{out} is a folder; name the page in it, such as {out / 'report.html'}")
    if out.name in (NUMBERS, CARD):
        raise BadRun(
            f"{out}: this name is for the report's numbers or table; name the page differently, such as report.html"
        )
    if existing.exists() and not _is_of_a_report(existing):
        raise BadRun(f"{existing} is not a report's and would be lost; write the page to another folder with --out")


def _is_of_a_report(file: Path) -> bool:
    try:
        kept: Any = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(kept, dict) and "runs" in kept and "published_items" in kept
