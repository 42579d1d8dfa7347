"""The commands of `shotbench`, and command lines that the documentation shows and the tests run."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator

import typer

import data_pipeline.cli
import data_pipeline.label_cli
import verl_recipes.cli
from lmms_eval_shotbench.commands import root
from lmms_eval_shotbench.commands.groups import LazyGroup
from tests.support import REPOSITORY

PACKAGES = ("lmms_eval_shotbench", "data_pipeline", "verl_recipes", "benchmarks")
# Not every README: that of a data set made by `make demo` in this folder is no documentation.
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "Makefile", "docs/*.md", *(f"{name}/**/README.md" for name in PACKAGES))
GROUPS = {
    (): root.app,
    ("data",): data_pipeline.cli.app,
    ("label",): data_pipeline.label_cli.app,
    ("train",): verl_recipes.cli.app,
}


def _command_paths() -> Iterator[tuple[str, ...]]:
    for path, app in GROUPS.items():
        group = typer.main.get_group(app)
        assert isinstance(group, LazyGroup)
        yield from ((*path, entry.name) for entry in group.entries)


COMMAND_PATHS = tuple(_command_paths())  # of all commands that are no groups
COMMANDS = {path[0] for path in COMMAND_PATHS}
INVOCATION = re.compile(rf"(?:^|[\s(`]|BIN/)shotbench ((?:{'|'.join(sorted(COMMANDS))})(?![\w-]).*)")
END = re.compile(r"\s#\s.*|\s#$|`.*|[;)].*|\s[|>&].*|[,.:](?=\s|$).*|…$")
PLACEHOLDER = "VALUE"  # in place of what a test computes


def documented_command_lines() -> Iterator[tuple[str, list[str]]]:
    """Yield file name and arguments of every `shotbench …` in the documentation and the Makefile."""
    for pattern in DOCUMENTS:
        for path in sorted(REPOSITORY.glob(pattern)):
            text = re.sub(r"\s*\\\n\s*", " ", path.read_text(encoding="utf-8"))  # continued lines
            text = re.sub(r"\$\((\w+)\)", r"\1", text)  # variables of make
            text = re.sub(r"\$\(shotbench [\w-]+\)", PLACEHOLDER, text)  # a command within another
            for line in text.splitlines():
                for part in re.split(r"(?=[\s(`]shotbench )", line):
                    if found := INVOCATION.search(part):
                        yield path.relative_to(REPOSITORY).as_posix(), _arguments(found[1])


def _arguments(text: str) -> list[str]:
    text = END.sub("", text).replace('"', "'")
    try:
        words = shlex.split(text)
    except ValueError:  # an unclosed quote
        words = text.split()
    return [word for word in words if word != "…"]


def tested_command_lines() -> Iterator[tuple[str, list[str]]]:
    """Yield file name and arguments of every list in a test that begins with a command of `shotbench`."""
    for path in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        lists = {
            node.targets[0].id: node.value.elts
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, (ast.List, ast.Tuple))
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.List):
                words = list(_words(node.elts, lists))
                if words[:2] == ["-m", "lmms_eval_shotbench.cli"]:
                    words = words[2:]
                if len(words) > 1 and words[0] in COMMANDS:
                    yield path.relative_to(REPOSITORY).as_posix(), words


def _words(elements: list[ast.expr], lists: dict[str, list[ast.expr]]) -> Iterator[str]:
    for element in elements:
        match element:
            case ast.Constant(value=str(word)):
                yield word
            case ast.Starred(value=ast.Name(id=name)) if name in lists:
                yield from _words(lists[name], lists)
            case _ if ast.unparse(element).endswith("executable"):
                continue
            case _:
                yield PLACEHOLDER
