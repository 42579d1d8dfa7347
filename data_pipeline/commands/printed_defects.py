"""Defects of a table and its films as lines on standard error, and the outcomes of its rows as one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from data_pipeline.commands.console import print_error
from data_pipeline.defects import Defect, DefectKind
from lmms_eval_shotbench.remote_path import Location


def print_defects(table: Location, defects: Sequence[Defect], each: bool) -> None:
    """Print the number of defects by reason, or each of them, and every note on the table.

    They are printed also if no shards, and so no `defects.jsonl`, were written.
    """
    from data_pipeline.annotations.table_notes import TABLE_NOTES

    apart = (*TABLE_NOTES, DefectKind.NO_CUT, DefectKind.NOT_LABELLED)
    of_rows = [defect for defect in defects if defect.kind not in apart]
    for (kind, lost), count in Counter((defect.kind, defect.loses_row) for defect in of_rows).most_common():
        first, *others = (defect for defect in of_rows if (defect.kind, defect.loses_row) == (kind, lost))
        print_error(
            f"{count:,} {'left out' if lost else 'noted'}: {kind}, {'' if each else 'e.g. '}{_shown(table, first)}"
        )
        for other in others if each else ():
            print_error(f"  {_shown(table, other)}")
    if unfilled := sum(defect.loses_row and defect.kind is DefectKind.NOT_LABELLED for defect in defects):
        print_error(f"{unfilled:,} left out: {DefectKind.NOT_LABELLED}")
    no_cuts: dict[str, list[str]] = {}
    for defect in defects:
        if defect.kind is DefectKind.NO_CUT:
            no_cuts.setdefault(defect.path, []).append(defect.detail)
    for film, details in no_cuts.items():
        print_error(f"{film}: {len(details):,} noted: {DefectKind.NO_CUT}: {', '.join(details)}")
    for note in defects:
        if note.kind in TABLE_NOTES:
            print_error(f"{note.path}{f' line {note.line}' if note.line else ''}: {note.kind}: {note.detail}")


def print_outcomes(table: Location, rows: str) -> None:
    """Print how many rows have which outcome, by the content of a `rows.csv`; nothing if it is empty."""
    from data_pipeline.row_account import ROWS, Outcome, count_outcomes

    if rows:
        counts = count_outcomes(rows)
        kinds = (Outcome.COMPLETE, Outcome.IN_PART, Outcome.LEFT_OUT)
        numbers = "; ".join(f"{kind}: {counts[kind]:,}" for kind in kinds)
        print(f"{table}: rows: {counts.total():,}; {numbers}. Each is listed in {ROWS} with its reasons")


def _shown(table: Location, defect: Defect) -> str:
    where = [f"{table.name} line {defect.line}" if defect.line else "", defect.path, defect.index]
    return f"{', '.join(filter(None, where))}: {defect.detail}"
