"""`shotbench tiny-model`: the folder of the tiny Qwen2.5-VL of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command

app, command = one_command(
    "tiny-model",
    About(
        examples=(
            "shotbench tiny-model",
            "shotbench tiny-model --random --out models/random",
        )
    ),
)


@command
def tiny_model(
    random: Annotated[
        bool,
        typer.Option(
            "--random", help="Write a model of the same kind with random weights to --out, and print that folder"
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Checkpoint folder to write; required with --random, and only valid with it",
            show_default="the folder of the trained model is printed",
        ),
    ] = None,
) -> int:
    """Print the folder of the tiny Qwen2.5-VL that comes with this package, trained on synthetic films.

    It serves for trials and tests without a GPU or a download, as pretrained=FOLDER of the model shotvl.
    """
    from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL, make_tiny_qwen

    if random != bool(out):
        raise ValueError("--random and --out go together; without them the folder of the trained model is printed")
    print(make_tiny_qwen(out) if out else TINY_SHOTVL)
    return 0
