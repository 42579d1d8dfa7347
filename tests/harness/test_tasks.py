"""The task files match the vocabulary, and those in the package are examples of the generated ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lmms_eval_shotbench.harness import task_folder, task_functions
from lmms_eval_shotbench.harness.task_files import all_tasks
from lmms_eval_shotbench.harness.task_folder import PACKAGE, SOURCES, package_files
from lmms_eval_shotbench.prompts import MAX_NEW_TOKENS

HAND_WRITTEN = {"_template", "_circular", "_questions", "_blind", "_blind_likelihood", "_stills"}


class PlainLoader(yaml.SafeLoader):
    """Reads `!function name` as the name."""


PlainLoader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def read(text: str) -> dict[str, object]:
    loaded: dict[str, object] = yaml.load(text, PlainLoader)
    return loaded


def lmms_eval_files() -> dict[str, str]:
    """Return file texts by name of the lmms-eval tasks and groups."""
    files = task_folder.all_files().items()
    return {Path(path).stem: text for path, text in files if path.startswith("lmms_eval/") and path.endswith(".yaml")}


@pytest.mark.parametrize("subfolder", SOURCES)
def test_examples_in_the_package_are_those_that_are_generated(subfolder: str) -> None:
    source, generate = SOURCES[subfolder]
    generated = generate()
    for path, text in package_files(source).items():
        if path not in HAND_WRITTEN:
            assert text == generated.get(path), f"{path}: run python -m lmms_eval_shotbench.harness.task_folder"


def test_the_package_contains_few_task_files() -> None:
    folders = PACKAGE / "tasks", PACKAGE / "lm_eval_tasks"
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert len(files) <= 40


@pytest.mark.parametrize("subfolder", SOURCES)
def test_examples_load_from_the_package_and_include_every_template(subfolder: str) -> None:
    source, _ = SOURCES[subfolder]
    files = package_files(source)
    tasks = {Path(path).stem for path in files}
    included = set()
    for path, text in files.items():
        config = read(text)
        if "group" in config:
            assert set(config["task"]) <= tasks  # type: ignore[call-overload]
        includes = config.get("include", [])
        for name in [includes] if isinstance(includes, str) else includes:  # type: ignore[attr-defined]
            template = (source / path).parent / name
            assert template.is_file()
            included.add(template.name)
    assert included == {path for path in files if path.startswith("_")}


def test_every_task_file_names_a_group_or_questions_of_one_dimension() -> None:
    leaves = {task.name: task for task in all_tasks()}
    files = lmms_eval_files()
    assert files.keys() == leaves.keys() | {task.group for task in all_tasks()}
    for name, text in files.items():
        task = read(text)
        if "group" in task:
            assert name == task["group"]
            assert task["task"] == [leaf.name for leaf in all_tasks() if leaf.group == task["group"]]
        else:
            leaf = leaves[name]
            assert (task["task"], task["task_alias"]) == (leaf.name, leaf.dimension.paper_name)
            module, _, function = str(task["process_docs"]).rpartition(".")
            assert module == task_functions.__name__ and callable(getattr(task_functions, function))
            assert function == f"{leaf.variant or 'keep'}_{leaf.dimension.slug}"


def test_the_template_contains_the_protocol_and_names_existing_functions() -> None:
    template = read(task_folder.all_files()["lmms_eval/shotbench/_template"])
    settings = template["generation_kwargs"]
    assert settings == {"max_new_tokens": MAX_NEW_TOKENS, "temperature": 0, "do_sample": False, "until": []}
    for key in ("doc_to_visual", "doc_to_text", "doc_to_messages", "process_results"):
        module, _, name = str(template[key]).rpartition(".")
        assert module == task_functions.__name__
        assert callable(getattr(task_functions, name))
