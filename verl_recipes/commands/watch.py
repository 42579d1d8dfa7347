"""`shotbench train watch`: the last figures and completions of a training run."""

from __future__ import annotations

from typing import Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command
from verl_recipes.commands.options import RunFolderArgument

app, command = one_command(
    "watch",
    About(
        extra="train",
        examples=("shotbench train watch runs/grpo", "shotbench train watch runs/grpo --once --completions 10"),
    ),
)


@command
def watch(
    run: RunFolderArgument,
    once: Annotated[
        bool,
        typer.Option("--once", help="Print once and exit; always the case if the output is not a terminal"),
    ] = False,
    interval: Annotated[
        float,
        typer.Option("--interval", metavar="SECONDS", help="Seconds between two refreshes, 0.1 or more"),
    ] = 5.0,
    completions: Annotated[
        int,
        typer.Option(
            "--completions",
            metavar="N",
            help="Number of completions of the last step that are shown, of validation and of rollouts each: those "
            "with the lowest and the highest rewards; 0 for none",
        ),
    ] = 4,
) -> int:
    """Show the last figures of a training run and the last responses of its model, until the run is finished.

    Only files of the run folder are read, so this works on every machine that sees the folder. Ctrl-C ends it; the run
    is not affected.
    """
    from verl_recipes.run.watch import states

    if not interval >= 0.1:
        raise ValueError(f"--interval must be 0.1 or more, got {interval}")
    if completions < 0:
        raise ValueError(f"--completions must be 0 or more, got {completions}")
    for state in states(run, None if once else interval, completions):
        print(state, flush=True)
    return 0
