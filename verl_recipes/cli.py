"""`shotbench train …`: reads arguments and calls the module that does the work."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `train` command and its sub-commands to a parser."""
    from lmms_eval_shotbench.prompts import DIRECT, PROMPT_STYLES

    train = commands.add_parser("train", help="train models on question shards with verl")
    train.set_defaults(extra="data")  # what a missing library is installed with
    steps = train.add_subparsers(title="steps", metavar="STEP", required=True)
    step = steps.add_parser("rows", help="turn a split of shards into the rows verl trains on")
    step.add_argument("shards", metavar="SHARDS", help="shard folder or Hub id")
    step.add_argument("--split", required=True, help="split to turn into rows: sft, cot_sft, grpo, dev, …")
    step.add_argument(
        "--for", dest="purpose", choices=("sft", "grpo"), required=True, help="the trainer that reads them"
    )
    styles = [style.name for style in PROMPT_STYLES]
    step.add_argument("--style", choices=styles, default=DIRECT.name, help=f"prompt style (default: {DIRECT.name})")
    step.add_argument("--out", metavar="ROWS", type=Path, required=True, help="folder for the rows and their media")
    step.set_defaults(run=run_rows)


def run_rows(args: argparse.Namespace) -> int:
    """Write the rows and say where they are."""
    from lmms_eval_shotbench.prompts import prompt_style
    from verl_recipes.training_rows import write_training_rows

    path = write_training_rows(args.shards, args.split, args.out, args.purpose, prompt_style(args.style))
    print(f"{path}: the media lie in {path.parent / 'media'}")
    return 0
