"""`shotbench data import-shotbench`: convert the official ShotBench release to shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from data_pipeline.commands.console import print_error, print_media_warnings
from data_pipeline.commands.options import OUTPUT, SHARDS_KEPT, Overwrite, ShardsOut
from lmms_eval_shotbench.commands.command import About, one_command

LOST_ROWS_NAMED = 20

app, command = one_command(
    "import-shotbench",
    About(
        extra="data",
        kept=SHARDS_KEPT,
        examples=(
            "shotbench data import-shotbench Vchitect/ShotBench --out shards/shotbench",
            "shotbench data import-shotbench downloads/ShotBench --out shards/shotbench",
        ),
    ),
)


@command
def import_release(
    release: Annotated[
        str,
        typer.Argument(
            metavar="RELEASE", help="Folder with test.tsv, images.tar and videos.tar as published, or their Hub id"
        ),
    ],
    out: ShardsOut,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Write the shards without the rows whose still or clip is missing or broken, and list these rows in "
            "the dataset card; without this option a single such row stops the import, and nothing is written",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="JSON lines file for every broken row and every remark",
            show_default="none",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> int:
    """Convert the official ShotBench release to shards."""
    from data_pipeline.releases.import_shotbench import RowsLost, import_shotbench

    try:
        done = import_shotbench(release, out, allow_missing=allow_missing, overwrite=overwrite, report=report)
    except RowsLost as refusal:
        lost = [defect for defect in refusal.report.defects if defect.loses_row]
        for defect in lost[:LOST_ROWS_NAMED]:
            print_error(str(defect))
        if len(lost) > LOST_ROWS_NAMED:
            print_error(f"... and {len(lost) - LOST_ROWS_NAMED:,} more; --report FILE lists them all")
        print_error(
            f"{refusal}. Repair the release, or leave these rows out with --allow-missing. Nothing was written."
        )
        return 1
    kept = sum(not defect.loses_row for defect in done.defects)
    state = "was complete already" if done.already_complete else "is written"
    print(f"{done.folder} {state}: {done.rows_written:,} of {done.rows_read:,} rows, {done.rows_lost:,} left out, "
          f"{kept:,} warnings")  # fmt: skip
    print_media_warnings(done.defects)
    return 0
