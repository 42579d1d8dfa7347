"""`shotbench train tiny-base`: the tiny base model, on one CPU core."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lmms_eval_shotbench.commands.command import About, one_command
from lmms_eval_shotbench.progress import is_quiet


def checkpoint_kept(params: Mapping[str, Any]) -> str:
    """What an interrupted training leaves behind."""
    out: Path = params["out"]
    if (out / "config.json").exists():
        return f"the checkpoint of the last check is in {out}; --start {out} continues from it, with another --out"
    return "no checkpoint was written yet"


app, command = one_command(
    "tiny-base",
    About(
        extra="train",
        kept=checkpoint_kept,
        examples=(
            "shotbench train tiny-base shards/studio shards/stills --out models/base",
            "shotbench train tiny-base shards/studio --out models/tiny \\",
            "    --start models/base --finish",
            "shotbench train tiny-base shards/studio --out models/labeller \\",
            "    --start models/tiny --films studio-films",
        ),
    ),
)


@command
def tiny_base(
    shards: Annotated[
        list[str],
        typer.Argument(
            metavar="SHARDS",
            help="Shard folders with a split sft, made by `shotbench data studio --reasoning`; their splits dev are "
            "used to measure progress",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Checkpoint folder to write")],
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            metavar="FOLDER",
            help="Checkpoint folder to continue from",
            show_default="random weights",
        ),
    ] = None,
    finish: Annotated[
        bool,
        typer.Option(
            "--finish",
            help="Second step, for a model given by --start: train complete answers with reasoning, as "
            "`shotbench train cot-sft` does, but without verl. With neither --finish nor --films, a base model for "
            "the recipe tiny is trained",
        ),
    ] = False,
    films: Annotated[
        list[Path] | None,
        typer.Option(
            "--films",
            metavar="FOLDER",
            help="Last step, for a finished model given by --start: train the labels of shots for `shotbench label`, "
            '"none" included, on films of `shotbench data studio --raw`; may be repeated. Every tenth film is held out',
            show_default="labels are not trained",
        ),
    ] = None,
) -> int:
    """Train the tiny base model (1.7 million parameters) on synthetic films; about half an hour on one CPU core."""
    if films and (finish or start is None):
        raise ValueError("--films needs a finished model, given by --start, and is a step of its own, without --finish")
    from verl_recipes.tiny_base.train import BASE, FINISH, LABEL, train_tiny_base

    def report(line: str) -> None:
        if not is_quiet():
            print(line, file=sys.stderr)

    settings = LABEL if films else FINISH if finish else BASE
    print(f"{out}, on held-out films: {train_tiny_base(shards, out, start, settings, report, films or ())}")
    return 0
