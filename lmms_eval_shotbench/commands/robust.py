"""`shotbench robust`: consistency and accuracy on variants of the questions."""

from __future__ import annotations

import argparse
from pathlib import Path

from lmms_eval_shotbench.commands.shared_arguments import add_out, write_or_print


def add_robust(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `shotbench robust` to the parser."""
    from lmms_eval_shotbench.grading.grade import PROTOCOLS

    parser = commands.add_parser(
        "robust",
        help="a run beside runs on variants of its questions: consistency and robust accuracy",
        description="A run is a folder of `shotbench eval` or a file of `shotbench score --format json`. A circular "
        "run alone has its original within it.",
    )
    parser.add_argument("original", type=Path, help="run on the questions as they are (or a circular one, alone)")
    parser.add_argument("variants", nargs="*", type=Path, help="runs of shotbench_mirrored, shotbench_reversed, …")
    parser.add_argument("--data", help="the original questions (default: those the original run names)")
    parser.add_argument("--split", help="split of a shard folder (default: the run's)")
    parser.add_argument("--protocol", choices=PROTOCOLS, default=PROTOCOLS[0])
    parser.add_argument("--format", choices=("table", "json"), default="table")
    add_out(parser)
    parser.set_defaults(run=_robust)


def _robust(args: argparse.Namespace) -> int:
    from lmms_eval_shotbench.runs.robust import FORMATS, own_original, read_originals, scores_of_variants
    from lmms_eval_shotbench.runs.stored_runs import read_run

    original = read_run(args.original, args.protocol)
    questions = read_originals(original, args.data, args.split)
    variants = [read_run(path, args.protocol) for path in args.variants]
    if not variants:
        original, variants = own_original(questions, original), [original]
    text = FORMATS[args.format](scores_of_variants(questions, original, variants))
    write_or_print(text, args.out)
    return 0
