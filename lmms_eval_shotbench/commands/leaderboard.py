"""`shotbench leaderboard`: the ranks of runs among published models."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from lmms_eval_shotbench.commands.command import About, one_command, print_message
from lmms_eval_shotbench.commands.options import (
    OUTPUT,
    Currency,
    OutFile,
    PriceIn,
    PriceOut,
    Published,
    ReasoningTags,
    RunData,
    Runs,
    RunSplit,
    ThirdParty,
    prices_of,
)
from lmms_eval_shotbench.commands.output import write_or_print

Format = Annotated[
    Literal["table", "markdown", "csv", "json"],
    typer.Option("--format", help="Format of the output", rich_help_panel=OUTPUT),
]

app, command = one_command("leaderboard", About(examples=("shotbench leaderboard results/shotvl-3b results/ours",)))


@command
def leaderboard(
    runs: Runs,
    data: RunData = None,
    split: RunSplit = None,
    published: Published = None,
    third_party: ThirdParty = None,
    reasoning_tags: ReasoningTags = "",
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    currency: Currency = None,
    format: Format = "table",
    out: OutFile = None,
) -> int:
    """Print a table of runs by accuracy, ranked among the published models. Your runs are graded strictly.

    Published figures are shown as printed in the papers, and figures measured by others apart from them, each with its
    source and date. Tokens, seconds and cost a response are shown where they are known. Prices are those of all runs;
    without them, those recorded in each run are used.
    """
    from lmms_eval_shotbench.grading.added_tags import parse_reasoning_tags
    from lmms_eval_shotbench.report.assemble import read_report
    from lmms_eval_shotbench.report.leaderboard import FORMATS
    from lmms_eval_shotbench.report.numbers import report_numbers
    from lmms_eval_shotbench.report.third_party import read_rows

    tags, prices = parse_reasoning_tags(reasoning_tags), prices_of(price_in, price_out, currency)
    others = read_rows(third_party) if third_party else []
    found = read_report(runs, data, split, published=published, tags=tags, prices=prices, third_party=others)
    write_or_print(FORMATS[format](report_numbers(found)), out)
    if not found.published:
        print_message("published models are left out: not all of ShotBench was asked (--published)")
    return 0
