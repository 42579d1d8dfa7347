"""`shotbench data import-shotbench`: convert the official ShotBench release to shards."""

from __future__ import annotations

import argparse
from pathlib import Path

from data_pipeline.commands.console import print_error

LOST_ROWS_NAMED = 20


def add(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    step = steps.add_parser("import-shotbench", help="import the official ShotBench release")
    step.add_argument("release", metavar="RELEASE", help="folder with test.tsv, images.tar, videos.tar; or a Hub id")
    step.add_argument("--allow-missing", action="store_true", help="leave broken rows out, and name them in SHARDS")
    step.add_argument("--report", metavar="FILE", type=Path, help="write all defects there, one JSON object a line")
    step.add_argument("--out", metavar="SHARDS", type=Path, required=True, help="shard folder to write")
    step.add_argument("--overwrite", action="store_true", help="replace shards that are at SHARDS")
    step.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the import and print a summary."""
    from data_pipeline.releases.import_shotbench import RowsLost, import_shotbench
    from data_pipeline.releases.release_media import ImportRefused
    from data_pipeline.shards.atomic_folder import WriteRefused

    options = {"allow_missing": args.allow_missing, "overwrite": args.overwrite, "report": args.report}
    try:
        done = import_shotbench(args.release, args.out, **options)
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
    except (ImportRefused, WriteRefused, OSError) as error:
        print_error(f"error: {error}")
        return 2
    kept = sum(not defect.loses_row for defect in done.defects)
    state = "was complete already" if done.already_complete else "is written"
    print(f"{done.folder} {state}: {done.rows_written:,} of {done.rows_read:,} rows, {done.rows_lost:,} left out, "
          f"{kept:,} warnings")  # fmt: skip
    return 0
