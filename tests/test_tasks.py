"""The task files say what the vocabulary says."""

from __future__ import annotations

import yaml

from lmms_eval_shotbench import task_functions
from lmms_eval_shotbench.eval_plan import group_name
from lmms_eval_shotbench.harness import TASKS_PATH
from lmms_eval_shotbench.prompts import MAX_NEW_TOKENS, PROMPT_STYLES
from lmms_eval_shotbench.vocabulary import DIMENSIONS

FOLDER = TASKS_PATH / "shotbench"


class PlainLoader(yaml.SafeLoader):
    """Reads `!function name` as the name."""


PlainLoader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def read(name: str) -> dict[str, object]:
    loaded: dict[str, object] = yaml.load((FOLDER / name).read_text(encoding="utf-8"), PlainLoader)
    return loaded


def test_there_is_a_task_for_each_dimension_and_style_and_no_other() -> None:
    groups = {group_name(style) for style in PROMPT_STYLES}
    leaves = {f"{group}_{dimension.slug}" for group in groups for dimension in DIMENSIONS}
    assert {path.stem for path in FOLDER.glob("*.yaml")} == groups | leaves


def test_each_task_keeps_its_dimension_and_takes_its_style() -> None:
    for style in PROMPT_STYLES:
        assert read(f"_{style.name}")["lmms_eval_specific_kwargs"] == {"default": {"prompt_style": style.name}}
        group = read(f"{group_name(style)}.yaml")
        assert group["task"] == [f"{group_name(style)}_{dimension.slug}" for dimension in DIMENSIONS]
        for dimension in DIMENSIONS:
            name = f"{group_name(style)}_{dimension.slug}"
            assert read(f"{name}.yaml") == {
                "include": f"_{style.name}",
                "task": name,
                "task_alias": dimension.paper_name,
                "process_docs": f"lmms_eval_shotbench.task_functions.keep_{dimension.slug}",
            }


def test_the_template_holds_the_protocol_and_names_only_functions_there_are() -> None:
    template = read("_template")
    settings = template["generation_kwargs"]
    assert settings == {"max_new_tokens": MAX_NEW_TOKENS, "temperature": 0, "do_sample": False, "until": []}
    for key in ("doc_to_visual", "doc_to_text", "doc_to_messages", "process_results"):
        module, _, name = str(template[key]).rpartition(".")
        assert module == task_functions.__name__
        assert callable(getattr(task_functions, name))
