"""`shotbench transfer`: whether the lead of a model on one set remains on another."""

from __future__ import annotations

from typing import Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command
from lmms_eval_shotbench.commands.options import (
    INPUT,
    RUN_HELP,
    FormatOption,
    OutFile,
    ReasoningTags,
    RunSplit,
    StoredProtocol,
)
from lmms_eval_shotbench.commands.output import write_or_print

app, command = one_command(
    "transfer",
    About(
        examples=(
            "shotbench transfer results/a results/b results/a-stills results/b-stills",
            "shotbench transfer results/a results/a-blind results/a-stills --format json",
            "shotbench transfer A=results/a A=stills.tsv a.jsonl results/b results/b2",
        )
    ),
)


@command
def transfer(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Runs of one or more models on two or more sets, in any order, also on blind, mirrored, reversed and "
            f"circular questions. Each is a {RUN_HELP}. NAME=RUN names the model; by default it is the recorded "
            "checkpoint, or the name of the file of responses",
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="QUESTIONS",
            help="Original questions of runs whose recorded ones are not on this machine: test.tsv, shard folder or "
            "Hub id of shards; may be given several times",
            show_default="those recorded in the runs",
            rich_help_panel=INPUT,
        ),
    ] = None,
    split: RunSplit = None,
    protocol: StoredProtocol = "strict",
    common: Annotated[
        bool,
        typer.Option(
            "--common",
            help="Compute leads over the questions that both models were asked; without this option, models that were "
            "asked different questions of a set are refused",
            rich_help_panel=INPUT,
        ),
    ] = False,
    format: FormatOption = "table",
    out: OutFile = None,
    reasoning_tags: ReasoningTags = "",
) -> int:
    """Compare models across sets of questions: does a lead on ShotBench survive elsewhere?

    Leads are those of the model of the first run over each other model. The reference is ShotBench if it is among the
    sets, otherwise the set of the first run.
    """
    from lmms_eval_shotbench.grading.added_tags import parse_reasoning_tags
    from lmms_eval_shotbench.runs.evaluated_sets import read_set_runs
    from lmms_eval_shotbench.runs.transfer import transfer as transfer_of
    from lmms_eval_shotbench.runs.transfer_report import FORMATS

    found = read_set_runs(runs, data or (), split, protocol, parse_reasoning_tags(reasoning_tags))
    write_or_print(FORMATS[format](transfer_of(found, common)), out)
    return 0
