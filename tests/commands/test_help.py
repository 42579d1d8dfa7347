"""Help texts: complete, in plain words, readable in a narrow terminal and in a pipe, with choices that exist."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, get_args

import pytest
import typer

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.commands import options, score
from lmms_eval_shotbench.commands.root import root_command
from lmms_eval_shotbench.grading.grade import PROTOCOLS
from lmms_eval_shotbench.prompts import PROMPT_STYLES
from lmms_eval_shotbench.questions.variants import VARIANTS
from lmms_eval_shotbench.runs import audit as audit_run
from lmms_eval_shotbench.runs import audit_report, compare, robust
from lmms_eval_shotbench.runs.score_formats import FORMATS
from tests.support import REPOSITORY
from tests.support.command_lines import COMMAND_PATHS, GROUPS

if TYPE_CHECKING:
    from typer._click import Context

# Homely words in place of the field's terms, and words that explain nothing.
DIALECT = re.compile(
    r"\b(place|room|told|tells?|says|said|mend(ed)?|anew|beforehand|besides|whole|surplus|wish|heavy|quick|dies|alone|"
    r"needs?|how|company|reading|goes on|go on|so often|what came of it|kept apart)\b",
    re.IGNORECASE,
)
NO_VALUE = ("", "none", "null", "nothing", "not set", "not given", "unset")
PATHS = [(), *GROUPS, *COMMAND_PATHS]


def context_of(path: tuple[str, ...]) -> Context:
    context = root_command().make_context("shotbench", ["audit"], resilient_parsing=True)
    for name in path:
        command = context.command.get_command(context, name)  # type: ignore[attr-defined]
        context = command.make_context(name, ["x"], parent=context, resilient_parsing=True)
    return context


def texts_of(path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Name and help of a command and of its parameters."""
    context = context_of(path)
    yield " ".join(path), context.command.help or ""
    for param in context.command.get_params(context):
        if not getattr(param, "hidden", False):
            yield param.opts[0], getattr(param, "help", None) or ""


def printed_help(*path: str, columns: int = 80) -> str:
    command = [sys.executable, "-m", "lmms_eval_shotbench.cli", *path, "--help"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": str(columns)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def help_in_a_terminal(*path: str, **variables: str) -> str:
    """The help printed to a terminal of 80 columns."""
    reading, writing = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "80", "TERM": "xterm"} | variables
    command = [sys.executable, "-m", "lmms_eval_shotbench.cli", *path, "--help"]
    process = subprocess.Popen(command, env=environment, stdout=writing, stderr=writing, stdin=writing)
    os.close(writing)
    printed = b""
    try:
        while chunk := os.read(reading, 65536):
            printed += chunk
    except OSError:  # the terminal is closed
        pass
    assert process.wait() == 0
    os.close(reading)
    return printed.decode()


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_command_and_option_has_a_help_text_in_plain_words(path: tuple[str, ...]) -> None:
    for name, text in texts_of(path):
        assert len(text) >= 8 and text[0].isupper(), (name, text)
        assert not DIALECT.search(text), (name, text)


@pytest.mark.parametrize("path", COMMAND_PATHS, ids=" ".join)
def test_optional_values_show_a_default(path: tuple[str, ...]) -> None:
    context = context_of(path)
    for param in context.command.get_params(context):
        shown = param.get_help_record(context)
        if (
            shown
            and not param.required
            and not getattr(param, "is_flag", False)
            and param.opts[0] not in ("--judge-model", "--extractor-model")
        ):
            assert "[default: " in shown[1], param.opts[0]


@pytest.mark.parametrize("path", COMMAND_PATHS, ids=" ".join)
def test_a_default_that_is_no_value_says_what_happens_instead(path: tuple[str, ...]) -> None:
    context = context_of(path)
    for param in context.command.get_params(context):
        help_text = (param.get_help_record(context) or ("", ""))[1]
        default = re.search(r"\[default: ([^];:]*)", help_text)
        assert not default or default[1].lower() not in NO_VALUE, (param.opts[0], default[1])


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help_in_a_pipe_is_plain_and_no_wider_than_80_columns(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*path, "--help"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(" ".join(("Usage: shotbench", *path)))
    assert all(len(line) <= 80 for line in printed.splitlines())
    assert not set(printed) & set("╭│╰\x1b")


@pytest.mark.slow
@pytest.mark.parametrize("path", [(), ("data", "films"), ("eval",)], ids=" ".join)
def test_help_in_a_terminal_is_framed_and_fits_80_columns(path: tuple[str, ...]) -> None:
    printed = help_in_a_terminal(*path)
    assert "╭─" in printed and "\x1b[" in printed and "\b" not in printed
    plain = re.sub(r"\x1b\[[\d;]*m", "", printed)
    assert all(len(line.rstrip()) <= 80 for line in plain.splitlines())


@pytest.mark.slow
def test_no_color_gives_plain_help_in_a_terminal() -> None:
    printed = help_in_a_terminal("score", NO_COLOR="1").replace("\r\n", "\n")
    assert printed == printed_help("score")


@pytest.mark.parametrize("path", COMMAND_PATHS, ids=" ".join)
def test_every_command_has_an_example_of_itself(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*path, "--help"]) == 0
    _, title, examples = re.split(r"^  (Examples?:)$", capsys.readouterr().out, flags=re.MULTILINE)
    expected = "shotbench tasks-path" if path == ("tasks-path",) else " ".join(("shotbench", *path))
    assert expected in examples and title


def test_the_choices_that_help_shows_are_those_of_the_library() -> None:
    assert get_args(options.Protocol) == PROTOCOLS
    assert get_args(score.VariantName) == tuple(variant.name for variant in VARIANTS)
    assert get_args(score.Format) == tuple(FORMATS)
    for formats in (compare.FORMATS, robust.FORMATS, audit_report.FORMATS):
        assert get_args(options.TableOrJson) == tuple(formats)


def test_defaults_that_are_written_twice_are_equal() -> None:
    from lmms_eval_shotbench.commands import audit
    from verl_recipes.commands.rows import Style

    assert audit.DIFFERENCE == audit_run.DIFFERENCE
    assert get_args(Style) == tuple(style.name for style in PROMPT_STYLES)


@pytest.mark.parametrize("path", COMMAND_PATHS, ids=" ".join)
def test_the_list_of_commands_and_the_help_of_a_command_agree_on_its_subject(path: tuple[str, ...]) -> None:
    group = typer.main.get_group(GROUPS[path[:-1]])
    summary = next(entry.summary for entry in group.entries if entry.name == path[-1])  # type: ignore[attr-defined]
    _, text = next(texts_of(path))
    assert summary.split()[0].rstrip(".,") in text.split(".")[0]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_generated(shell: str) -> None:
    command = [sys.executable, "-m", "lmms_eval_shotbench.cli"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "_SHOTBENCH_COMPLETE": f"source_{shell}"}
    printed = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert printed.returncode == 0 and "_SHOTBENCH_COMPLETE" in printed.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("shotbench sc", {"score"}),
        ("shotbench data import-", {"import-dataset", "import-shotbench", "import-shotqa"}),
        ("shotbench score --proto", {"--protocol"}),
        ("shotbench score --protocol ", {"strict", "official"}),
        ("shotbench train grpo --dry", {"--dry-run"}),
    ],
)
def test_a_shell_completes_commands_options_and_choices(line: str, expected: set[str]) -> None:
    variables = {
        "_SHOTBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | variables
    command = [sys.executable, "-m", "lmms_eval_shotbench.cli"]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert set(printed.stdout.split()) == expected, printed.stderr
