"""Messages that several commands print."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from data_pipeline.defects import FIRST_MEDIA, Defect, media_warnings_by_kind
from lmms_eval_shotbench.runs.formatting import first_few

if TYPE_CHECKING:
    from data_pipeline.releases.checked_rows import ImportReport, RowsLost

LOST_ROWS_NAMED = 20


def print_error(text: str) -> None:
    """Print to standard error; lone surrogates, as in file names that are not UTF-8, are escaped."""
    print(text.encode(errors="backslashreplace").decode(), file=sys.stderr)


def print_losses(defects: Sequence[Defect]) -> None:
    """Print one line for each reason for which rows were dropped: their number and the first of them."""
    lost = [defect for defect in defects if defect.loses_row]
    for kind, count in Counter(defect.kind for defect in lost).most_common():
        first = next(defect for defect in lost if defect.kind is kind)
        print_error(f"{count:,} left out: {kind}, e.g. index {first.index}, {first.path}: {first.detail}")


def print_media_warnings(defects: Sequence[Defect]) -> None:
    """Print one line for each kind of warning about media: their number, the first ids, and the first reason."""
    for kind, warned in media_warnings_by_kind(defects).items():
        first = first_few([defect.index for defect in warned], FIRST_MEDIA)
        print(f"warning: {kind}: {len(warned):,} ({first}), e.g. {warned[0].detail}")


def report_import(run: Callable[[], ImportReport]) -> int:
    """Run an import and print its result, or why it was refused; returns the exit status."""
    from data_pipeline.releases.checked_rows import RowsLost

    try:
        done = run()
    except RowsLost as refusal:
        _print_refused_import(refusal)
        return 1
    _print_import(done)
    return 0


def _print_refused_import(refusal: RowsLost) -> None:
    """Print the rows because of which an import was refused, and what to do."""
    from data_pipeline.releases.checked_rows import is_broken

    lost = list(filter(is_broken, refusal.report.defects))
    for defect in lost[:LOST_ROWS_NAMED]:
        print_error(str(defect))
    if len(lost) > LOST_ROWS_NAMED:
        print_error(f"... and {len(lost) - LOST_ROWS_NAMED:,} more; --report FILE lists them all")
    print_error(f"{refusal}. Repair the release, or leave these rows out with --allow-missing. Nothing was written.")


def _print_import(done: ImportReport) -> None:
    """Print the counts of a finished import, its losses by reason, and the warnings about media."""
    kept = sum(not defect.loses_row for defect in done.defects)
    state = "was complete already" if done.already_complete else "is written"
    print(f"{done.folder} {state}: {done.rows_written:,} of {done.rows_read:,} rows, {done.rows_lost:,} left out, "
          f"{kept:,} warnings")  # fmt: skip
    print_losses(done.defects)
    print_media_warnings(done.defects)
