"""The arrows of the house: who may import whom, and what stands in one place only."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmms_eval_shotbench.vocabulary import DIMENSIONS
from tests.conftest import REPOSITORY

CORE = "lmms_eval_shotbench"
STANDARD_LIBRARY_ONLY = (
    "vocabulary",
    "qa_item",
    "prompts",
    "plain_reasoning",
    "strict_reading",
    "grading",
    "metrics",
    "option_prior",
    "prior_aware",
    "letter_balance",
    "paired",
    "refinement",
    "refineshot",
)
# A module may import those to its left, and itself nothing to its right.
ORDER = [
    {"vocabulary", "whole_file", "model_revision"},
    {"qa_item"},
    {"variants", "refinement"},
    {"prompts", "plain_reasoning", "strict_reading", "grading", "judge_requests", "judge"},
    {"metrics", "option_prior", "letter_balance", "shards", "media", "clips", "responses", "stored_fields"},
    {"prior_aware", "robustness", "refineshot", "audit", "audit_report", "paired"},
    {"task_functions", "score", "harness", "models", "backends", "stored_runs", "compare", "variant_runs"},
    {"eval_plan", "task_files", "run_record", "evaluate", "lm_eval_functions", "lm_eval_tasks"},
    {"report"},
    {"cli", "commands"},
]


def imported(path: Path) -> Iterator[str]:
    """Modules a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources(package: str) -> list[Path]:
    return sorted((REPOSITORY / package).rglob("*.py"))


def level(module: str) -> int:
    return next(number for number, names in enumerate(ORDER) if module in names)


def test_every_module_has_its_place_in_the_order() -> None:
    known = set().union(*ORDER) | {"__init__"}
    assert {path.relative_to(REPOSITORY / CORE).parts[0].removesuffix(".py") for path in sources(CORE)} <= known


@pytest.mark.parametrize("path", sources(CORE), ids=lambda path: path.name)
def test_modules_of_the_benchmark_import_only_what_stands_before_them(path: Path) -> None:
    own = path.relative_to(REPOSITORY / CORE).parts[0].removesuffix(".py")
    for name in imported(path):
        if name.startswith(f"{CORE}.") and own not in ("__init__", "cli", "commands"):
            other = name.split(".")[1]
            if other != own and not other.startswith("__"):
                assert level(other) <= level(own), f"{own} imports {other}"


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("data_pipeline", ("verl_recipes", "lmms_eval", "verl")),
        ("verl_recipes", ("data_pipeline", "lmms_eval")),
    ],
)
def test_packages_keep_apart(package: str, forbidden: tuple[str, ...]) -> None:
    for path in sources(package):
        for name in imported(path):
            assert name.split(".")[0] not in forbidden, f"{path} imports {name}"


def test_only_the_command_mounts_the_other_packages() -> None:
    for path in sources(CORE):
        if path.name != "cli.py":
            assert not any(name.startswith(("data_pipeline", "verl_recipes")) for name in imported(path)), path


def test_the_core_needs_the_standard_library_only() -> None:
    names = ", ".join(f"{CORE}.{name}" for name in STANDARD_LIBRARY_ONLY)
    code = f"import {names}, sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    printed = subprocess.run([sys.executable, "-S", "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    strangers = set(printed.stdout.split()) - set(sys.stdlib_module_names) - {CORE, "__main__"}
    assert not strangers


def test_starting_the_command_imports_nothing_heavy() -> None:
    code = "import sys, lmms_eval_shotbench.cli as c; c.build_parser(); print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "datasets", "numpy", "pandas", "pyarrow", "PIL", "av", "ray", "verl", "lmms_eval"}
    assert not heavy & set(printed.stdout.split())


def test_dimensions_are_named_in_the_vocabulary_alone() -> None:
    labels = {name for dimension in DIMENSIONS for name in (dimension.slug, dimension.release_label)}
    labels -= {"lighting", "composition"}  # ordinary words as well
    pattern = re.compile("|".join(rf"[\"']{re.escape(label)}[\"']" for label in sorted(labels)))
    for package in (CORE, "data_pipeline", "verl_recipes"):
        for path in sources(package):
            if path.name != "vocabulary.py":
                assert not pattern.search(path.read_text(encoding="utf-8")), path
