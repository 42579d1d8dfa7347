"""`shotbench tasks-path`: the folder of our tasks, for the command lines of lmms-eval and lm-eval."""

from __future__ import annotations

from typing import Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command

app, command = one_command(
    "tasks-path",
    About(examples=("lmms-eval --include_path $(shotbench tasks-path) --tasks shotbench …",)),
)


@command
def print_tasks_path(
    lm_eval: Annotated[
        bool,
        typer.Option("--lm-eval", help="Print the folder of the tasks for lm-eval, the harness for text-only models"),
    ] = False,
) -> int:
    """Print the folder of the ShotBench tasks, for the option --include_path of lmms-eval or lm-eval."""
    from lmms_eval_shotbench.harness.task_folder import lm_eval_tasks_path, tasks_path

    print(lm_eval_tasks_path() if lm_eval else tasks_path())
    return 0
