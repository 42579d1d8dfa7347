"""The task files say what the vocabulary says."""

from __future__ import annotations

import yaml

from lmms_eval_shotbench.harness import task_functions
from lmms_eval_shotbench.harness.eval_plan import all_tasks
from lmms_eval_shotbench.harness.lmms_eval import TASKS_PATH
from lmms_eval_shotbench.harness.task_files import task_files
from lmms_eval_shotbench.prompts import MAX_NEW_TOKENS

FOLDER = TASKS_PATH / "shotbench"


class PlainLoader(yaml.SafeLoader):
    """Reads `!function name` as the name."""


PlainLoader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def read(name: str) -> dict[str, object]:
    loaded: dict[str, object] = yaml.load((FOLDER / name).read_text(encoding="utf-8"), PlainLoader)
    return loaded


def test_the_task_files_are_those_that_vocabulary_styles_and_variants_give() -> None:
    by_hand = {"README.md", "_template", "_circular"}
    found = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    assert found == by_hand | set(task_files()), "run python -m lmms_eval_shotbench.harness.task_files"
    for name, text in task_files().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, name


def test_every_task_file_names_a_group_or_questions_of_one_dimension() -> None:
    leaves = {task.name: task for task in all_tasks()}
    assert leaves.keys() <= {path.stem for path in FOLDER.rglob("*.yaml")}
    for path in FOLDER.rglob("*.yaml"):
        task = read(str(path.relative_to(FOLDER)))
        if "group" in task:
            assert path.stem == task["group"]
            assert task["task"] == [leaf.name for leaf in all_tasks() if leaf.group == task["group"]]
        else:
            leaf = leaves[path.stem]
            assert (task["task"], task["task_alias"]) == (leaf.name, leaf.dimension.paper_name)
            module, _, name = str(task["process_docs"]).rpartition(".")
            assert module == task_functions.__name__ and callable(getattr(task_functions, name))
            assert name == f"{leaf.variant or 'keep'}_{leaf.dimension.slug}"


def test_the_template_holds_the_protocol_and_names_only_functions_there_are() -> None:
    template = read("_template")
    settings = template["generation_kwargs"]
    assert settings == {"max_new_tokens": MAX_NEW_TOKENS, "temperature": 0, "do_sample": False, "until": []}
    for key in ("doc_to_visual", "doc_to_text", "doc_to_messages", "process_results"):
        module, _, name = str(template[key]).rpartition(".")
        assert module == task_functions.__name__
        assert callable(getattr(task_functions, name))
