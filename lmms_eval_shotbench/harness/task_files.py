"""List of our lmms-eval tasks and their YAML files, generated from the vocabulary, prompt styles and variants.

The shared settings are in the hand-written `tasks/shotbench/_template` and, with one more metric, `_circular`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import groupby
from typing import NamedTuple

from lmms_eval_shotbench.harness.task_functions import ALL_ROTATIONS, KEEP
from lmms_eval_shotbench.prompts import DIRECT, PROMPT_STYLES, PromptStyle
from lmms_eval_shotbench.questions.variants import VARIANTS
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension

FUNCTIONS = "lmms_eval_shotbench.harness.task_functions"
OVER_ITEMS = ("shotbench_accuracy", "shotbench_official", "shotbench_answered", "shotbench_term_f1")


class Task(NamedTuple):
    """One of our leaf tasks."""

    style: PromptStyle
    dimension: Dimension
    variant: str = ""  # empty for the original questions

    @property
    def group(self) -> str:
        """Name of its group."""
        return group_name(self.style, self.variant)

    @property
    def name(self) -> str:
        """Its name in lmms-eval."""
        return f"{self.group}_{self.dimension.slug}"


def group_name(style: PromptStyle, variant: str = "") -> str:
    """Return the name of the group over all dimensions, for a prompt style and the original questions or a variant."""
    base = {"": "shotbench", "refined": "refineshot"}.get(variant, f"shotbench_{variant}")
    return base if style is DIRECT else f"{base}_{style.name}"


def groups_of(names: Collection[str]) -> set[str]:
    """Return the names of the groups to which tasks of these names belong."""
    return {task.group for task in all_tasks() if task.name in names}


def all_tasks() -> list[Task]:
    """Return all leaf tasks."""
    plain = [Task(style, dimension) for style in PROMPT_STYLES for dimension in DIMENSIONS]
    return plain + [
        Task(style, dimension, variant.name)
        for variant in VARIANTS
        for style in PROMPT_STYLES
        for dimension in variant.dimensions
    ]


def task_files() -> dict[str, str]:
    """Return the contents of the files by path relative to the task folder."""
    files = {f"_{style.name}": _style_file(style) for style in PROMPT_STYLES}
    for group, tasks in groupby(all_tasks(), key=lambda task: task.group):
        files |= dict(_group(group, list(tasks)))
    return files


def _style_file(style: PromptStyle) -> str:
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
        "metadata: {version: 2}",
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
