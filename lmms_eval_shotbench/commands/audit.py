"""`shotbench audit`: check the quality of a set of questions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command
from lmms_eval_shotbench.commands.options import INPUT, FormatOption, OutFile
from lmms_eval_shotbench.commands.output import write_or_print

DIFFERENCE = 0.05  # equal to that of `runs/audit.py`

app, command = one_command(
    "audit",
    About(
        examples=(
            "shotbench audit test.tsv",
            "shotbench audit shards/mine --split test --format json --out audit.json",
            "shotbench audit shards/mine --split test --blind results/blind",
        )
    ),
)


@command
def audit(
    questions: Annotated[
        str, typer.Argument(metavar="QUESTIONS", help="Questions to check: test.tsv, shard folder or Hub id of shards")
    ],
    split: Annotated[
        str | None,
        typer.Option(
            "--split", metavar="NAME", help="Split of the shards", show_default="all splits", rich_help_panel=INPUT
        ),
    ] = None,
    difference: Annotated[
        float,
        typer.Option(
            "--difference",
            metavar="SHARE",
            help="Difference in accuracy between two models, from 0 to 1 (0.05 is 5 points), that each dimension "
            "should be large enough to detect; dimensions with too few questions for it are listed",
            rich_help_panel="Checks",
        ),
    ] = DIFFERENCE,
    blind: Annotated[
        Path | None,
        typer.Option(
            "--blind",
            metavar="RUN",
            help="Run of a model on the tasks shotbench_blind, whose accuracy is shown in addition: folder written by "
            "`shotbench eval`, or JSON file written by `shotbench score --format json`",
            show_default="not shown",
            rich_help_panel=INPUT,
        ),
    ] = None,
    format: FormatOption = "table",
    out: OutFile = None,
) -> int:
    """Check a set of questions: accuracy of guessing, correct answers unevenly spread over A to D, faulty options.

    Only the questions are read, not the media, and no finding changes the exit status. `shotbench data audit` also
    decodes the media of shards and decides whether they are fit for use.
    """
    from lmms_eval_shotbench.runs.audit import audit_questions, read_splits
    from lmms_eval_shotbench.runs.audit_report import FORMATS
    from lmms_eval_shotbench.runs.stored_runs import read_run

    blind_run = read_run(blind) if blind else None
    write_or_print(FORMATS[format](audit_questions(read_splits(questions, split), difference, blind_run)), out)
    return 0
