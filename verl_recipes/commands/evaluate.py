"""`shotbench train evaluate`: score a run or a model on a test split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command
from verl_recipes.commands.options import MaxNewTokens

app, command = one_command(
    "evaluate",
    About(
        extra="train",
        kept="the responses so far are stored with the results, and the same command continues from there",
        examples=(
            "shotbench train evaluate runs/grpo --data shards/shotbench",
            "shotbench train evaluate runs/grpo --data shards/shotbench --blank",
        ),
    ),
)


@command
def evaluate(
    training_run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a training run, or of a model in Hugging Face's format")
    ],
    data: Annotated[
        str, typer.Option("--data", metavar="SHARDS", help="Shard folder or Hub id with the questions to ask")
    ],
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="Split of the shards to ask")] = "test",
    blank: Annotated[
        bool,
        typer.Option(
            "--blank",
            help="Show uniform grey of the same size instead of every still and clip, to measure the model's accuracy "
            "when it can only guess; unlike that, the tasks shotbench_blind show no medium",
            rich_help_panel="Evaluation",
        ),
    ] = False,
    max_new_tokens: MaxNewTokens = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Folder for the scores", show_default="RUN/eval"),
    ] = None,
) -> int:
    """Score a training run on a test split, with direct answers and with reasoning.

    The newest complete checkpoint is merged to a model folder first, as by `shotbench train merge`.
    """
    from verl_recipes.run.evaluate_run import evaluate_model
    from verl_recipes.run.merge import merge_run
    from verl_recipes.run.run_folder import is_run_folder

    model = merge_run(training_run) if is_run_folder(training_run) else training_run
    folder = out or training_run / "eval"
    found = evaluate_model(model, data, folder, split=split, blank=blank, max_new_tokens=max_new_tokens)
    for task, scores in found.items():
        macro = scores["accuracy"]["macro"]
        print(f"{task}: macro {100 * macro['value']:.1f} ({100 * macro['low']:.1f} to {100 * macro['high']:.1f})")
    print(f"written to {folder}")
    return 0
