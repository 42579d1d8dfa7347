"""`shotbench train ablation`: the paper's ablation with any recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command
from verl_recipes.commands.options import DATA, MODEL, RUN, MaxNewTokens, Recipe

app, command = one_command(
    "ablation",
    About(
        extra="train",
        kept="finished runs and checkpoints are in {out}; the same command continues from there",
        examples=(
            "shotbench train ablation --data shards/studio --out ablation \\",
            "    grpo:trainer.total_epochs=1",
        ),
    ),
    pass_on="words",
    options_metavar="[OPTIONS] [METHOD:KEY=VALUE]…",
)


@command
def ablation(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="SHARDS",
            help="Shard folder or Hub id with the splits sft, grpo and dev; sft and dev also with the column "
            "reasoning, for CoT-SFT, as `shotbench data studio --reasoning` writes it",
            rich_help_panel=DATA,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Folder for all runs, the table (ablation.md) and the curves",
            rich_help_panel=RUN,
        ),
    ],
    recipe: Recipe = "tiny",
    test: Annotated[
        str | None,
        typer.Option(
            "--test",
            metavar="SHARDS",
            help="Shard folder or Hub id with the split test, on which the models are scored",
            show_default="that of --data",
            rich_help_panel=DATA,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="Base model: Hub id or checkpoint folder",
            show_default="that of the recipe",
            rich_help_panel=MODEL,
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds",
            metavar="N",
            help="Number of repetitions: each combination of methods is trained N times, with the seeds 1 to N",
            rich_help_panel=RUN,
        ),
    ] = 3,
    max_new_tokens: MaxNewTokens = None,
) -> int:
    """Repeat the paper's ablation: train SFT, CoT-SFT, GRPO and their combinations, and score each.

    Further arguments METHOD:KEY=VALUE are Hydra overrides for one method (sft, cot_sft or grpo), such as
    grpo:trainer.total_epochs=1.
    """
    from verl_recipes.run.ablation import AblationPlan, overrides_by_method, run_ablation
    from verl_recipes.run.ablation_report import write_ablation_report

    if seeds < 1:
        raise ValueError(f"--seeds must be 1 or more, got {seeds}")
    plan = AblationPlan(
        recipe,
        data,
        out,
        model,
        tuple(range(1, seeds + 1)),
        overrides_by_method(context.args),
        max_new_tokens=max_new_tokens,
        test=test,
    )
    table = write_ablation_report(run_ablation(plan), out)
    print(table.read_text(encoding="utf-8"))
    print(f"written to {table}, with curves.png and dimensions.png beside it")
    return 0
