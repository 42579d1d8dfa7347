"""`shotbench leaderboard`: the ranks of runs among published models."""

from __future__ import annotations

from lmms_eval_shotbench.commands.command import About, one_command, print_message
from lmms_eval_shotbench.commands.options import (
    Currency,
    PriceIn,
    PriceOut,
    Published,
    ReasoningTags,
    RunData,
    Runs,
    RunSplit,
    prices_of,
)

app, command = one_command("leaderboard", About(examples=("shotbench leaderboard results/shotvl-3b results/ours",)))


@command
def leaderboard(
    runs: Runs,
    data: RunData = None,
    split: RunSplit = None,
    published: Published = None,
    reasoning_tags: ReasoningTags = "",
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    currency: Currency = None,
) -> int:
    """Print a table of runs by accuracy, ranked among the published models. Your runs are graded strictly.

    Published figures are shown as printed in the papers. Tokens, seconds and cost a response are shown where they are
    known. Prices are those of all runs; without them, those recorded in each run are used.
    """
    from lmms_eval_shotbench.grading.added_tags import parse_reasoning_tags
    from lmms_eval_shotbench.report.assemble import read_report
    from lmms_eval_shotbench.report.markdown import leaderboard_table
    from lmms_eval_shotbench.report.numbers import report_numbers

    tags, prices = parse_reasoning_tags(reasoning_tags), prices_of(price_in, price_out, currency)
    found = read_report(runs, data, split, published=published, tags=tags, prices=prices)
    print(leaderboard_table(report_numbers(found)))
    if not found.published:
        print_message("published models are left out: not all of ShotBench was asked (--published)")
    return 0
