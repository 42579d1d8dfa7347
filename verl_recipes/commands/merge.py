"""`shotbench train merge`: the model folder of a run's checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command
from verl_recipes.commands.options import RunFolderArgument

app, command = one_command(
    "merge",
    About(
        extra="train",
        kept="no model was written; the checkpoints are unchanged, and the same command starts over",
        examples=(
            "shotbench train merge runs/grpo --out models/shotvl-ours",
            "shotbench train merge runs/grpo --step 200 --out models/step-200",
        ),
    ),
)


@command
def merge(
    training_run: RunFolderArgument,
    step: Annotated[
        int | None,
        typer.Option(
            "--step",
            metavar="N",
            help="Training step of the checkpoint",
            show_default="that of the newest complete checkpoint",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Model folder to write", show_default="RUN/model"),
    ] = None,
) -> int:
    """Write the model folder of a run's checkpoint, and print its path.

    verl stores a checkpoint as one file per GPU; they are merged to one model in the format of Hugging Face.
    """
    from verl_recipes.run.merge import merge_run

    print(merge_run(training_run, out, step))
    return 0
