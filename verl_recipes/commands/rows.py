"""`shotbench train rows`: a split of shards as the rows that verl trains on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lmms_eval_shotbench.commands.command import About, one_command

Style = Literal["direct", "reasoning", "step_by_step"]  # the names of `PROMPT_STYLES`

app, command = one_command(
    "rows",
    About(
        extra="data",
        kept="media that were copied are kept in {out}, and the same command continues with the others",
        examples=(
            "shotbench train rows shards/mine --split sft --for sft --out rows",
            "shotbench train rows shards/cot --split cot_sft --for sft \\",
            "    --style reasoning --out rows",
        ),
    ),
)


@command
def rows(
    shards: Annotated[str, typer.Argument(metavar="SHARDS", help="Shard folder or Hub id")],
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="Split to write: sft, grpo, dev, …")],
    purpose: Annotated[
        Literal["sft", "grpo"],
        typer.Option(
            "--for",
            help="Training method: sft rows end with the right answer, grpo rows with the question. For CoT-SFT, use "
            "--for sft --style reasoning and shards with the column reasoning",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder for the rows and their media")],
    style: Annotated[
        Style,
        typer.Option(
            "--style",
            help="Response that the prompt requests: direct (only a letter), reasoning (a thought, then a letter) or "
            "step_by_step (a thought in four steps, then a letter)",
        ),
    ] = "direct",
) -> int:
    """Write a split of shards as the Parquet rows that verl trains on, and print their path.

    `shotbench train sft`, `cot-sft` and `grpo` write their rows themselves.
    """
    from lmms_eval_shotbench.prompts import prompt_style
    from verl_recipes.training_rows import write_training_rows

    path = write_training_rows(shards, split, out, purpose, prompt_style(style))
    print(f"{path}: the media are in {path.parent / 'media'}")
    return 0
