"""The YAML files of our lmms-eval tasks, written from the vocabulary, the prompt styles and the variants.

    python -m lmms_eval_shotbench.harness.task_files

writes them anew after one of these has changed; a test compares. What all tasks share is in `tasks/shotbench/_template`
and, with one metric more, `_circular`, which are written by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.harness.eval_plan import Task, all_tasks
from lmms_eval_shotbench.harness.task_functions import ALL_ROTATIONS, KEEP
from lmms_eval_shotbench.prompts import PROMPT_STYLES, PromptStyle

FOLDER = Path(__file__).parents[1] / "tasks" / "shotbench"
FUNCTIONS = "lmms_eval_shotbench.harness.task_functions"
OVER_ITEMS = ("shotbench_accuracy", "shotbench_official", "shotbench_answered", "shotbench_term_f1")


def task_files() -> dict[str, str]:
    """Text by path within the folder."""
    files = {f"_{style.name}": _style(style) for style in PROMPT_STYLES}
    for group, tasks in groupby(all_tasks(), key=lambda task: task.group):
        files |= dict(_group(group, list(tasks)))
    return files


def _style(style: PromptStyle) -> str:
    return f'# The prompt style "{style.name}" of prompts.py.\ninclude: _template\n{_prompt(style)}'


def _prompt(style: PromptStyle) -> str:
    return f"lmms_eval_specific_kwargs:\n  default: {{prompt_style: {style.name}}}\n"


def _group(name: str, tasks: list[Task]) -> Iterator[tuple[str, str]]:
    folder = f"{tasks[0].variant}/" if tasks[0].variant else ""
    yield f"{folder}{name}.yaml", _group_text(name, tasks)
    for task in tasks:
        yield f"{folder}{task.name}.yaml", _leaf_text(task)


def _group_text(name: str, tasks: list[Task]) -> str:
    style, variant = tasks[0].style.name, tasks[0].variant
    means = "shotbench_accuracy is the mean over items, shotbench_macro the mean over dimensions."
    over_items = (*OVER_ITEMS, ALL_ROTATIONS) if variant == "circular" else OVER_ITEMS
    metrics = [f"  - {{metric: {metric}, weight_by_size: true}}" for metric in over_items]
    metrics.insert(1, "  - {metric: shotbench_macro, weight_by_size: false}")
    questions = f'Variant "{variant}"' if variant else "All eight dimensions"
    lines = [
        f'# {questions}, prompt style "{style}". {means}',
        f"group: {name}",
        "task:",
        *(f"  - {task.name}" for task in tasks),
        "aggregate_metric_list:",
        *metrics,
        "metadata: {version: 1}",
    ]
    return "\n".join(lines) + "\n"


def _leaf_text(task: Task) -> str:
    if task.variant == "circular":
        shared = f"include: ../_circular\n{_prompt(task.style)}"
    else:
        shared = f"include: {'../' if task.variant else ''}_{task.style.name}\n"
    return (
        f"{shared}task: {task.name}\ntask_alias: {task.dimension.paper_name}\n"
        f"process_docs: !function {FUNCTIONS}.{task.variant or KEEP}_{task.dimension.slug}\n"
    )


if __name__ == "__main__":
    for path, text in task_files().items():
        write_atomic(FOLDER / path, text)
