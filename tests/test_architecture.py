"""The structure of the code: who may import whom, and what is defined once only."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from lmms_eval_shotbench.vocabulary import DIMENSIONS
from tests.support import REPOSITORY
from tests.support.command_lines import COMMAND_PATHS

CORE = "lmms_eval_shotbench"
PACKAGES = (CORE, "data_pipeline", "verl_recipes")
FUNCTIONS_OF_SEVERAL_MODULES = {
    "main",  # of programs
    "process_results",  # called by lmms-eval and by lm-eval
    "task_files",  # of lmms-eval and of lm-eval
    "read",  # of published sets
    "register",  # with verl
    "worker_died",  # results of different units of work
    *("install", "apply", "still_needed"),  # of patches
}
STANDARD_LIBRARY_ONLY = (
    "vocabulary",
    "environment",
    "atomic_file",
    "error_text",
    "file_lock",
    "model_args",
    "qa_item",
    "prompts",
    "grading.answer_fields",
    "grading.claims",
    "grading.declarations",
    "grading.denials",
    "grading.languages",
    "grading.last_word",
    "grading.letters",
    "grading.marks",
    "grading.phrases",
    "grading.plain_text",
    "grading.reasoning_tags",
    "grading.refusals",
    "grading.rules",
    "grading.added_tags",
    "grading.strict",
    "grading.terms",
    "grading.thoughts",
    "grading.wordings",
    "grading.official",
    "grading.grade",
    "questions.refinement",
    "questions.variants",
    "scoring.metrics",
    "scoring.option_prior",
    "scoring.prior_aware",
    "scoring.letter_balance",
    "scoring.paired",
    "scoring.several_samples",
    "scoring.agreement",
    "scoring.transfer",
    "scoring.refineshot",
)
# Modules that only forward to where their content has moved; nothing of ours may import them.
FORMER_NAMES = {
    CORE: {"task_functions", "lm_eval_functions"},
    "verl_recipes": {"answer_reward", "film_dataset", "main_sft"},
}
# The floors of each package, from the ground up. A room (a folder, or a module that lies loose in the package) imports
# from floors below its own and from itself, never from a neighbour or from above.
FLOORS: dict[str, list[set[str]]] = {
    CORE: [
        {
            "vocabulary",
            "environment",
            "atomic_file",
            "error_text",
            "file_lock",
            "model_args",
            "progress",
            "remote_path",
        },
        {"qa_item"},
        {"prompts", "questions", "media"},
        {"grading"},
        {"scoring", "qwen"},
        {"runs"},
        {"harness", "report", "doctor"},
        {"models", "lm_eval_tasks", "export"},
        {"labelling"},
        {"commands"},
        {"cli", *FORMER_NAMES[CORE]},
    ],
    "data_pipeline": [
        {"defects", "workers", "high_dynamic_range"},
        {"labelled_shot", "medium_guard", "row_account"},
        {"shards", "annotations"},
        {"checks", "studio"},
        {"questions", "films", "releases"},
        {"build_dataset", "label_folder", "leaks"},
        {"build_films", "label_films", "studio_set", "find_shots", "import_annotations"},
        {"commands"},
        {"cli", "label_cli"},
    ],
    "verl_recipes": [
        {"recipes", "reward", "training_rows", "tiny_base"},
        {"inside_verl"},
        {"preflight", "cpu"},
        {"run", "plugin"},
        {"commands"},
        {"cli", *FORMER_NAMES["verl_recipes"]},
    ],
}


def sources(package: str) -> list[Path]:
    return sorted((REPOSITORY / package).rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for package in PACKAGES for path in sources(package)}


@cache
def imported(path: Path) -> frozenset[str]:
    """Modules that a file imports anywhere in it, also inside functions and for type checking."""
    return frozenset(_imported(path))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in MODULES else node.module


def floor_of(package: str, room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS[package]) if room in rooms)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_stands_on_a_floor(package: str) -> None:
    found = {path.relative_to(REPOSITORY / package).parts[0].removesuffix(".py") for path in sources(package)}
    assert found - {"__init__"} == set().union(*FLOORS[package])


@pytest.mark.parametrize("module", MODULES)
def test_modules_import_only_from_floors_below(module: str) -> None:
    package, *inside = module.split(".")
    if not inside:
        return
    for name in imported(MODULES[module]):
        other_package, *other = name.split(".")
        if other_package == package and other and other[0] != inside[0]:
            assert floor_of(package, other[0]) < floor_of(package, inside[0]), f"{module} imports {name}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    arrows = {name: {other for other in imported(path) if other in MODULES} - {name} for name, path in MODULES.items()}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        (CORE, ("data_pipeline", "verl_recipes")),
        ("data_pipeline", ("verl_recipes", "lmms_eval", "verl")),
        ("verl_recipes", ("data_pipeline", "lmms_eval")),
    ],
)
def test_packages_import_the_benchmark_and_never_each_other(package: str, forbidden: tuple[str, ...]) -> None:
    for path in sources(package):
        for name in imported(path):
            assert name.split(".")[0] not in forbidden, f"{path} imports {name}"


def test_the_core_needs_the_standard_library_only() -> None:
    names = ", ".join(f"{CORE}.{name}" for name in STANDARD_LIBRARY_ONLY)
    code = f"import {names}, sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    printed = subprocess.run([sys.executable, "-S", "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    strangers = set(printed.stdout.split()) - set(sys.stdlib_module_names) - {CORE, "__main__"}
    assert not strangers


@pytest.mark.slow
def test_the_help_of_all_commands_imports_nothing_heavy() -> None:
    code = f"for path in {COMMAND_PATHS}: main([*path, '--help'])"
    code = f"import sys; from lmms_eval_shotbench.cli import main\n{code}\nprint(*sys.modules)"
    arguments = [sys.executable, "-c", code]
    printed = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "datasets", "numpy", "pandas", "pyarrow", "PIL", "av", "ray", "verl", "lmms_eval"}
    assert not heavy & set(printed.stdout.splitlines()[-1].split())


def test_a_class_or_public_function_has_a_name_of_its_own() -> None:
    """Commands are named as on the command line, and modules of one kind have functions of one name."""
    defined: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in parsed(path).body:
            is_function = isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
            if isinstance(node, ast.ClassDef) or (is_function and ".commands." not in module):
                defined.setdefault(node.name, []).append(module)
    shared = {name: modules for name, modules in defined.items() if len(modules) > 1}
    assert shared.keys() == FUNCTIONS_OF_SEVERAL_MODULES, shared


def test_dimensions_are_named_in_the_vocabulary_alone() -> None:
    labels = {name for dimension in DIMENSIONS for name in (dimension.slug, dimension.release_label)}
    labels -= {"lighting", "composition"}  # ordinary words as well
    pattern = re.compile("|".join(rf"[\"']{re.escape(label)}[\"']" for label in sorted(labels)))
    for path in MODULES.values():
        if path.name != "vocabulary.py":
            assert not pattern.search(path.read_text(encoding="utf-8")), path
