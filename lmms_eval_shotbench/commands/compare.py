"""`shotbench compare`: compare two runs on the same questions."""

from __future__ import annotations

from typing import Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command
from lmms_eval_shotbench.commands.options import (
    OUTPUT,
    RUN_HELP,
    FormatOption,
    OutFile,
    ReasoningTags,
    StoredProtocol,
    TestSplit,
)
from lmms_eval_shotbench.commands.output import write_or_print

app, command = one_command(
    "compare",
    About(
        examples=(
            "shotbench compare results/a results/b",
            "shotbench compare test.tsv a.jsonl b.jsonl --items",
            "shotbench compare test.tsv a.jsonl shards/shotbench b.jsonl",
        )
    ),
)


@command
def compare(
    sides: Annotated[
        list[str],
        typer.Argument(
            metavar="A B",
            help=f"The two runs. Each is a {RUN_HELP}, whose responses are graded now; the QUESTIONS are not repeated "
            "if those of B are the same: QUESTIONS RESPONSES RESPONSES",
        ),
    ],
    split: TestSplit = "test",
    protocol: StoredProtocol = "strict",
    common: Annotated[
        bool,
        typer.Option(
            "--common",
            help="Use only the questions that both runs were asked; without this option, runs on different questions "
            "are refused",
            rich_help_panel="Input",
        ),
    ] = False,
    format: FormatOption = "table",
    items: Annotated[
        bool,
        typer.Option(
            "--items",
            help="List, below the table, the questions that only one of the runs answers correctly; with --format json "
            "they are always listed",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    out: OutFile = None,
    reasoning_tags: ReasoningTags = "",
) -> int:
    """Compare two runs on the same questions: difference in accuracy, 95 % interval and significance.

    All differences are B minus A: a positive one means that B is better.
    """
    from lmms_eval_shotbench.grading.added_tags import parse_reasoning_tags
    from lmms_eval_shotbench.runs.compare import FORMATS, compare_runs
    from lmms_eval_shotbench.runs.stored_runs import two_sides

    a, b = two_sides(sides)
    tags = parse_reasoning_tags(reasoning_tags)
    comparison = compare_runs(a.read(protocol, split, tags), b.read(protocol, split, tags), common)
    write_or_print(FORMATS[format](comparison, items), out)
    return 0
