"""`shotbench data …`: the pipeline's commands.

Owns arguments, messages and exit statuses: 0 done, 1 rows would be lost, 2 nothing could be done. The work is in the
step modules, which are imported only when their command runs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

LOST_ROWS_NAMED = 20


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `data` command and its sub-commands to a parser."""
    data = commands.add_parser("data", help="make question shards from releases and film")
    data.set_defaults(extra="data")  # what a missing library is installed with
    steps = data.add_subparsers(title="steps", metavar="STEP", required=True)
    step = steps.add_parser("import-shotbench", help="import the official ShotBench release")
    step.add_argument("release", metavar="RELEASE", help="folder with test.tsv, images.tar, videos.tar; or a Hub id")
    step.add_argument("--out", metavar="SHARDS", type=Path, required=True, help="shard folder to write")
    step.add_argument("--allow-missing", action="store_true", help="leave broken rows out, and name them in SHARDS")
    step.add_argument("--overwrite", action="store_true", help="replace shards that are at SHARDS")
    step.add_argument("--report", metavar="FILE", type=Path, help="write all defects there, one JSON object a line")
    step.set_defaults(run=run_import_shotbench)
    step = steps.add_parser("paint", help="paint a small synthetic set: no film, no download")
    step.add_argument("--out", metavar="SHARDS", type=Path, required=True, help="shard folder to write")
    step.add_argument("--per-term", type=int, default=2, help="shots a term (default: 2)")
    step.add_argument("--seed", type=int, default=0, help="another seed paints other shots (default: 0)")
    step.add_argument("--overwrite", action="store_true", help="replace shards that are at SHARDS")
    step.set_defaults(run=run_paint)


def run_import_shotbench(args: argparse.Namespace) -> int:
    """Run the import and say what came of it."""
    from data_pipeline.import_shotbench import RowsLost, import_shotbench
    from data_pipeline.release_media import ImportRefused
    from data_pipeline.whole_folder import WriteRefused

    options = {"allow_missing": args.allow_missing, "overwrite": args.overwrite, "report": args.report}
    try:
        done = import_shotbench(args.release, args.out, **options)
    except RowsLost as refusal:
        lost = [defect for defect in refusal.report.defects if defect.loses_row]
        for defect in lost[:LOST_ROWS_NAMED]:
            _say(str(defect))
        if len(lost) > LOST_ROWS_NAMED:
            _say(f"... and {len(lost) - LOST_ROWS_NAMED:,} more; --report FILE lists them all")
        _say(f"{refusal}. Mend the release, or leave these rows out with --allow-missing. Nothing was written.")
        return 1
    except (ImportRefused, WriteRefused, OSError) as error:
        _say(f"error: {error}")
        return 2
    kept = sum(not defect.loses_row for defect in done.defects)
    state = "was complete already" if done.already_complete else "is written"
    print(f"{done.folder} {state}: {done.rows_written:,} of {done.rows_read:,} rows, {done.rows_lost:,} left out, "
          f"{kept:,} warnings")  # fmt: skip
    return 0


def run_paint(args: argparse.Namespace) -> int:
    """Paint a set and say how large it is."""
    from data_pipeline.paint_set import paint_set

    questions = paint_set(args.out, per_term=args.per_term, seed=args.seed, overwrite=args.overwrite)
    print(f"{args.out}: {questions} questions on painted shots")
    return 0


def _say(text: str) -> None:
    print(text.encode(errors="backslashreplace").decode(), file=sys.stderr)
