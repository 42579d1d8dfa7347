"""`shotbench compare`: compare two runs on the same questions."""

from __future__ import annotations

import argparse

from lmms_eval_shotbench.commands.shared_arguments import add_out, write_or_print


def add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `shotbench compare` to the parser."""
    from lmms_eval_shotbench.grading.grade import PROTOCOLS
    from lmms_eval_shotbench.runs.compare import FORMATS

    parser = commands.add_parser(
        "compare",
        help="compare two runs on the same questions: difference, interval, p, items gained and lost",
        description="Everything is B minus A. A side is a folder of `shotbench eval`, a file of `shotbench score "
        "--format json`, or two arguments, QUESTIONS RESPONSES; behind such a pair, RESPONSES alone is B on the same "
        "questions.",
    )
    parser.add_argument("sides", nargs="+", metavar="A B", help="run folder or scores .json, or QUESTIONS RESPONSES")
    parser.add_argument("--split", default="test", help="split of a shard folder (default: test)")
    parser.add_argument("--protocol", choices=PROTOCOLS, default=PROTOCOLS[0])
    parser.add_argument("--common", action="store_true", help="compare on the shared questions where others differ")
    parser.add_argument("--format", choices=tuple(FORMATS), default=next(iter(FORMATS)))
    parser.add_argument("--items", action="store_true", help="list items gained and lost below the table")
    add_out(parser)
    parser.set_defaults(run=_compare)


def _compare(args: argparse.Namespace) -> int:
    from lmms_eval_shotbench.runs.compare import FORMATS, compare_runs
    from lmms_eval_shotbench.runs.stored_runs import two_sides

    a, b = two_sides(args.sides)
    comparison = compare_runs(a.read(args.protocol, args.split), b.read(args.protocol, args.split), args.common)
    text = FORMATS[args.format](comparison, args.items)
    write_or_print(text, args.out)
    return 0
