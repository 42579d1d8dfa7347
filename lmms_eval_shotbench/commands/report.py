"""`shotbench report` and `shotbench leaderboard`: an HTML report of runs, and their ranks among published models."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path


def add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `shotbench report` and `shotbench leaderboard` to the parser."""
    parser = commands.add_parser(
        "report",
        help="one page of what runs see and where they are blind, with its numbers and a table for a model card",
        description="Writes the page, and beside it scores.json and report.md. Runs of variants (shotbench_mirrored "
        "and the like) stand beside the run they belong to.",
    )
    _add_runs(parser)
    parser.add_argument("--out", type=Path, required=True, help="the page, such as report/report.html")
    parser.add_argument("--training", type=Path, action="append", default=[], help="folder of a training run; repeat")
    parser.add_argument(
        "--thumbnails-mb",
        type=_size,
        help="bound of all pictures on the page (default: 8, or less where the page would exceed 15 MB; 0: none)",
    )
    parser.set_defaults(run=_report, extra="report")
    table = commands.add_parser("leaderboard", help="print runs among the published models")
    _add_runs(table)
    table.set_defaults(run=_leaderboard)


def _add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="run folder, scores .json, or two arguments: QUESTIONS RESPONSES"
    )
    parser.add_argument("--data", help="the runs' questions (default: those their records name, if they lie here)")
    parser.add_argument("--split", help="split of a shard folder (default: the run's)")
    parser.add_argument(
        "--published",
        action=argparse.BooleanOptionalAction,
        help="show the published models (default: where all of ShotBench was asked)",
    )


def _size(text: str) -> float:
    size = float(text)
    if not 0 <= size < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a valid size in megabytes; give 0 or more")
    return size


def _report(args: argparse.Namespace) -> int:
    from lmms_eval_shotbench.report.assemble import read_report
    from lmms_eval_shotbench.report.write import write_report

    data = read_report(args.runs, args.data, args.split, args.training, args.published)
    write_report(data, args.out, args.thumbnails_mb)
    print(f"report: {args.out} ({args.out.stat().st_size / 1e6:.1f} MB)")
    return 0


def _leaderboard(args: argparse.Namespace) -> int:
    from lmms_eval_shotbench.report.assemble import read_report
    from lmms_eval_shotbench.report.markdown import leaderboard_table
    from lmms_eval_shotbench.report.numbers import report_numbers

    data = read_report(args.runs, args.data, args.split, published=args.published)
    print(leaderboard_table(report_numbers(data)))
    if not data.published:
        print("published models are left out: not all of ShotBench was asked (--published)", file=sys.stderr)
    return 0
