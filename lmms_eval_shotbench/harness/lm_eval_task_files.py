"""YAML files of our lm-eval tasks, generated from the vocabulary and the prompt styles.

The settings shared by the tasks of a family are in the hand-written `_blind`, `_blind_likelihood` and `_stills`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lmms_eval_shotbench.harness import lm_eval_functions
from lmms_eval_shotbench.harness.lm_eval_functions import OVER_DIMENSIONS, OVER_ITEMS
from lmms_eval_shotbench.prompts import DIRECT, PROMPT_STYLES, PromptStyle
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, MediaKind


class Family(NamedTuple):
    """Tasks that differ in dimension and prompt style only; the template is named `_` + `name`."""

    name: str
    dimensions: Sequence[Dimension] = DIMENSIONS
    styles: Sequence[PromptStyle | None] = PROMPT_STYLES  # None: without a system text
    over_items: Sequence[str] = OVER_ITEMS

    def group(self, style: PromptStyle | None) -> str:
        """Return the name of the group over all dimensions; the direct style is omitted, as in lmms-eval."""
        return f"shotbench_{self.name}{'' if style in (None, DIRECT) else f'_{style.name}'}"


STILL_DIMENSIONS = [dimension for dimension in DIMENSIONS if dimension.media_kind is MediaKind.STILL]
FAMILIES = (
    Family("blind"),
    Family("blind_likelihood", styles=(None,), over_items=("acc", "shotbench_term_f1")),
    Family("stills", STILL_DIMENSIONS),
)


def task_files() -> dict[str, str]:
    """Return the contents of the files by path relative to the task folder."""
    files = {f"_{style.name}": _style_file(style) for style in PROMPT_STYLES}
    for family in FAMILIES:
        for style in family.styles:
            files |= dict(_group(family, style))
    return files


def _style_file(style: PromptStyle) -> str:
    return f'# The system text of the prompt style "{style.name}".\ndescription: {json.dumps(style.system)}\n'


def _group(family: Family, style: PromptStyle | None) -> Iterator[tuple[str, str]]:
    group = family.group(style)
    templates = [f"../_{family.name}"] + ([f"../_{style.name}"] if style else [])
    yield f"{family.name}/{group}.yaml", _group_text(group, family)
    for dimension in family.dimensions:
        task = f"{group}_{dimension.slug}"
        keep = f"{lm_eval_functions.__name__}.keep_{dimension.slug}"
        yield (
            f"{family.name}/{task}.yaml",
            f"include: [{', '.join(templates)}]\ntask: {task}\ntask_alias: {dimension.paper_name}\n"
            f"process_docs: !function {keep}\n",
        )


def _group_text(group: str, family: Family) -> str:
    tasks = [f"  - {group}_{dimension.slug}\n" for dimension in family.dimensions]
    means = [f"  - {{metric: {name}, weight_by_size: true}}\n" for name in family.over_items]
    return (
        f"# {family.over_items[0]} is the mean over items, {OVER_DIMENSIONS} the mean over dimensions.\n"
        f"group: {group}\ntask:\n{''.join(tasks)}aggregate_metric_list:\n{''.join(means)}"
        f"  - {{metric: {OVER_DIMENSIONS}, weight_by_size: false}}\nmetadata: {{version: 2}}\n"
    )
