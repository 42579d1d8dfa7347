"""`shotbench audit`: check the quality of a set of questions."""

from __future__ import annotations

import argparse

from lmms_eval_shotbench.commands.shared_arguments import add_out, write_or_print


def add_audit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `shotbench audit` to the parser."""
    from lmms_eval_shotbench.runs.audit import DIFFERENCE
    from lmms_eval_shotbench.runs.audit_report import FORMATS

    parser = commands.add_parser(
        "audit",
        help="the health of any questions: what is guessed without looking, letters, faults",
        description="Looks at questions, never at media, and fails nothing. `shotbench data audit` looks at the media "
        "of shards as well, and says whether they are fit to be used.",
    )
    parser.add_argument("questions", help="test.tsv, shard folder or Hub id")
    parser.add_argument("--split", help="split of a shard folder (default: all that are there)")
    parser.add_argument(
        "--difference", type=float, default=DIFFERENCE, help=f"in accuracy, to be found (default: {DIFFERENCE:g})"
    )
    parser.add_argument("--format", choices=tuple(FORMATS), default=next(iter(FORMATS)))
    add_out(parser)
    parser.set_defaults(run=_audit)


def _audit(args: argparse.Namespace) -> int:
    from lmms_eval_shotbench.runs.audit import audit_questions, read_splits
    from lmms_eval_shotbench.runs.audit_report import FORMATS

    text = FORMATS[args.format](audit_questions(read_splits(args.questions, args.split), args.difference))
    write_or_print(text, args.out)
    return 0
