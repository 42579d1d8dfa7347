"""`shotbench train sft`, `cot-sft` and `grpo`: the same command for three methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmms_eval_shotbench.commands.command import About, one_command
from verl_recipes.commands.options import DATA, MODEL, RUN, Recipe

if TYPE_CHECKING:
    from verl_recipes.recipes import Method
    from verl_recipes.run.run_folder import TrainingRequest


def training_kept(params: Mapping[str, Any]) -> str:
    """What an interrupted training run leaves behind."""
    if params["dry_run"]:
        return "no trainer was started"
    return f"the run is in {params['out']}; the same command resumes it from its last complete checkpoint"


def training_command(method: Method, purpose: str, start: str) -> typer.Typer:
    """Return the app of the command that trains with a method.

    Args:
        method: The method.
        purpose: First sentence of the help.
        start: Other options of an example.
    """
    name = method.replace("_", "-")
    example = f"shotbench train {name} --recipe 3b --data {start} \\"
    about = About(
        extra="train",
        kept=training_kept,
        examples=(
            example,
            f"    --out runs/{method} --dry-run",
            example,
            f"    --out runs/{method} trainer.total_epochs=2",
        ),
    )
    app, command = one_command(
        name,
        about,
        pass_on="words",
        help=f"{purpose}\n\nFurther arguments are Hydra overrides of verl's configuration, such as "
        "trainer.total_epochs=2; --dry-run prints all keys, and docs/training_recipes.md explains those that recipes "
        "set. The same command resumes an interrupted run.",
        options_metavar="[OPTIONS] [KEY=VALUE]…",
    )

    @command
    def run(
        context: typer.Context,
        recipe: Recipe,
        data: Annotated[
            str,
            typer.Option(
                "--data",
                metavar="SHARDS",
                help="Shard folder or Hub id with the split to train on (sft; for GRPO grpo) and the split dev for "
                "validation",
                rich_help_panel=DATA,
            ),
        ],
        out: Annotated[
            Path,
            typer.Option("--out", metavar="RUN", help="Folder of the run, which is created", rich_help_panel=RUN),
        ],
        model: Annotated[
            str | None,
            typer.Option(
                "--model",
                metavar="MODEL",
                help="Model to start from: Hub id, checkpoint folder, or folder of another run",
                show_default="that of the recipe",
                rich_help_panel=MODEL,
            ),
        ] = None,
        attempts: Annotated[
            int,
            typer.Option(
                "--attempts",
                metavar="N",
                help="Maximum number of starts of the trainer: 1 start and N - 1 retries, each from the last complete "
                "checkpoint",
                rich_help_panel=RUN,
            ),
        ] = 1,
        dry_run: Annotated[
            bool,
            typer.Option(
                "--dry-run",
                help="Only prepare the run: write the training rows to --out, check data, model and machine, and print "
                "the configuration and verl's command; no training is started",
                rich_help_panel=RUN,
            ),
        ] = False,
    ) -> int:
        from verl_recipes.run.launch import train

        order = training_request(method, recipe, data, out, model, context.args, attempts)
        if dry_run:
            return _dry_run(order)
        train(order, attempts)
        print(f"{out}: trained; next: shotbench train evaluate {out} --data {data}")
        return 0

    return app


def training_request(
    method: Method, recipe: str, data: str, out: Path, model: str | None, overrides: Sequence[str], attempts: int
) -> TrainingRequest:
    """Return the request; raises `ValueError` if an argument is no override or there is no attempt."""
    from verl_recipes.run.run_folder import TrainingRequest

    if attempts < 1:
        raise ValueError(f"--attempts must be 1 or more, got {attempts}")
    for part in overrides:
        if part.startswith("-") or not ("=" in part or part.startswith("~")):  # ~key removes a key
            raise ValueError(f"{part} is neither an option nor an override of the form key=value")
    return TrainingRequest(method, recipe, data, out, model, tuple(overrides))


def _dry_run(order: TrainingRequest) -> int:
    import shlex

    from omegaconf import OmegaConf

    from verl_recipes.run.prepare import prepare
    from verl_recipes.run.run_folder import RunFolder

    with RunFolder(order.out).locked():
        prepared = prepare(order)
    print(OmegaConf.to_yaml(prepared.config, resolve=True))
    print(" ".join(f"{name}={shlex.quote(value)}" for name, value in prepared.environment.items()), end=" ")
    print(shlex.join(prepared.command))
    print(prepared.report.text())
    if prepared.step:
        print(f"resumes from step {prepared.step}{prepared.changes_text()}")
    return 2 if prepared.report.problems else 0
