"""`shotbench report`: an HTML page about one or more runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command
from lmms_eval_shotbench.commands.options import (
    OUTPUT,
    Currency,
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

app, command = one_command(
    "report",
    About(
        extra="report",
        examples=(
            "shotbench report results/shotvl-3b --out report/report.html",
            "shotbench report results/a results/b results/mirrored --out report.html",
            "shotbench report results/ours --training runs/grpo --out report/report.html",
            "shotbench report runs/grpo --out report/report.html",
        ),
    ),
)


def _megabytes(value: float | None) -> float | None:
    if value is not None and not 0 <= value < math.inf:
        raise typer.BadParameter(f"{value} is not a valid size in megabytes; give 0 or more")
    return value


@command
def report(
    runs: Runs,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="HTML page to write, such as report/report.html; scores.json and report.md are written next to it",
            rich_help_panel=OUTPUT,
        ),
    ],
    data: RunData = None,
    split: RunSplit = None,
    published: Published = None,
    third_party: ThirdParty = None,
    reasoning_tags: ReasoningTags = "",
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    currency: Currency = None,
    training: Annotated[
        list[Path] | None,
        typer.Option(
            "--training",
            metavar="FOLDER",
            help="Folder of a training run, whose training curves and kept responses are added to the page; may be "
            "given several times",
            show_default="no training curves",
            rich_help_panel="Content",
        ),
    ] = None,
    thumbnails_mb: Annotated[
        float | None,
        typer.Option(
            "--thumbnails-mb",
            metavar="MB",
            help="Maximum total size of the pictures on the page, in megabytes; 0 for no pictures",
            show_default="8, or less if the page would exceed 15 MB",
            callback=_megabytes,
            rich_help_panel="Content",
        ),
    ] = None,
) -> int:
    """Write one HTML page about runs: scores by dimension, comparisons, and every shot with the responses to it.

    The folder of a training run can be given as a RUN, too: its curves and the responses that it kept are shown.

    Runs of variants (shotbench_mirrored and the like) are shown next to the run to which they belong. Scores are by
    strict grading, with the accuracy by the official protocol where it is available. Prices are those of all runs;
    without them, those recorded in each run are used.
    """
    from lmms_eval_shotbench.grading.added_tags import parse_reasoning_tags
    from lmms_eval_shotbench.report.assemble import read_report
    from lmms_eval_shotbench.report.third_party import read_rows
    from lmms_eval_shotbench.report.write import write_report

    tags, prices = parse_reasoning_tags(reasoning_tags), prices_of(price_in, price_out, currency)
    others = read_rows(third_party) if third_party else []
    found = read_report(runs, data, split, training or (), published, tags, prices, others)
    write_report(found, out, thumbnails_mb)
    print(f"report: {out} ({out.stat().st_size / 1e6:.1f} MB)")
    return 0
