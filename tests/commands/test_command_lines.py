"""Command lines mean what they meant to the parser that Typer replaced, and those of the documentation are valid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.commands.command import Invocation, interruption_message
from lmms_eval_shotbench.commands.root import root_command
from tests.support import REPOSITORY
from tests.support.command_lines import COMMAND_PATHS, documented_command_lines

# What the argparse parser of version 0.1 made of every command line of documentation and tests, and of one command line
# for each of its options; `from` is where it comes from.
GOLDEN = json.loads((REPOSITORY / "tests" / "golden" / "command_lines.json").read_text(encoding="utf-8"))
ACCEPTED = [row for row in GOLDEN if "values" in row]
REFUSED = [row for row in GOLDEN if "error" in row]


def joined(value: object) -> str:
    return " ".join(value["arguments"]) if isinstance(value, dict) else ""


def context_of(arguments: list[str]) -> Any:
    """Typer's context of the command, with the values of its parameters; nothing is run."""
    context = root_command().make_context("shotbench", list(arguments), obj=Invocation(arguments))
    while hasattr(context.command, "resolve_command"):
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    return context


def parsed(arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Values of the parameters, and arguments passed on."""
    context = context_of(arguments)
    return context.params, context.args


def plain(value: object) -> object:
    """A value as the golden file writes it."""
    if isinstance(value, Path):
        return str(value)
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("row", ACCEPTED, ids=joined)
def test_a_command_line_gives_the_same_values_as_before(
    row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # `--out` is checked to be writable
    context = context_of(row["arguments"])
    values, passed_on, before = context.params, context.args, row["values"]
    assert before.keys() <= values.keys()
    defaults = {param.name: param.default for param in context.command.params}
    added = {name: value for name, value in values.items() if name not in before}
    assert all(not value or value == defaults[name] for name, value in added.items()), added
    for name, value in before.items():
        several = [value]  # an argument that now takes several files
        assert plain(values[name]) in (value, several) or (value == [] and values[name] in (None, ())), name
    assert passed_on == row.get("passed_on", [])
    left_behind = interruption_message(context.command.about.kept, context.params)
    assert len(left_behind) > 20 and not set(left_behind) & set("{}")
    assert ("cached" in left_behind) == bool(values.get("judge_url"))


@pytest.mark.parametrize("row", REFUSED, ids=joined)
def test_a_command_line_that_was_refused_is_refused_in_one_line(
    row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(row["arguments"]) == 2
    printed = capsys.readouterr().err
    assert len(printed.splitlines()) <= 1 and (not printed or "--help" in printed)
    assert not any(tmp_path.iterdir())


def test_the_golden_file_covers_every_command_that_existed() -> None:
    lines = [tuple(row["arguments"]) for row in ACCEPTED]
    missing = {path for path in COMMAND_PATHS if not any(line[: len(path)] == path for line in lines)}
    newer = {("data", name) for name in ("annotations", "export-webdataset", "import-dataset", "leaks", "shots")}
    newer |= {("data", name) for name in ("benchmark", "croissant")}
    newer |= {("doctor",), ("export",), ("presets",), ("transfer",), ("train", "watch")}
    assert missing == newer | {path for path in COMMAND_PATHS if path[0] == "label"}


DOCUMENTED = [
    (source, arguments)
    for source, arguments in documented_command_lines()
    if not any(row["arguments"] == arguments for row in REFUSED)  # names of commands in running text
]


@pytest.mark.parametrize(("source", "arguments"), DOCUMENTED, ids=lambda value: value if isinstance(value, str) else "")
def test_documented_command_lines_are_valid(
    source: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parsed(arguments)


@pytest.mark.parametrize(
    ("arguments", "values", "passed_on"),
    [
        (["score", "q.tsv", "--", "--r.jsonl"], {"responses": ["--r.jsonl"]}, []),
        (
            ["data", "difficulty", "--responses", "a", "b", "--size", "3", "s", "--responses", "c", "--out", "o"],
            {"responses": ["a", "b", "c"], "shards": "s"},
            [],
        ),
        (
            ["data", "difficulty", "--responses=a", "s", "--out", "o"],
            {"responses": ["a"], "shards": "s"},
            [],
        ),
        (
            ["eval", "--tasks", "t", "--model", "m", "--out", "o", "--", "--batch_size", "4"],
            {"tasks": "t"},
            ["--batch_size", "4"],
        ),
        (
            ["train", "grpo", "--recipe", "tiny", "--data", "d", "--out", "o", "a.b=1", "--", "+c=--d", "~e"],
            {"recipe": "tiny"},
            ["a.b=1", "+c=--d", "~e"],
        ),
        (["--quiet", "--debug", "audit", "q.tsv"], {"questions": "q.tsv"}, []),
        (["audit", "q.tsv", "--quiet", "--debug"], {"questions": "q.tsv"}, []),
        (["data", "--debug", "audit", "shards"], {"shards": "shards"}, []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_command_line_means(arguments: list[str], values: dict[str, Any], passed_on: list[str]) -> None:
    found, rest = parsed(arguments)
    assert {name: plain(found[name]) for name in values} == values and rest == passed_on
