"""The root of the command line: finds the command, runs it, reports errors and returns the exit status.

Exit status: 0 success; 1 done, but something is missing or failed; 2 nothing done, invalid request or input; 130
interrupted. The commands are in this folder, those of other packages come by entry point (`groups.py`).
"""

from __future__ import annotations

import os
import select
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from lmms_eval_shotbench import __version__
from lmms_eval_shotbench.commands.command import (
    GENERAL,
    Invocation,
    general_options,
    print_message,
    text_block,
    without_types,
)
from lmms_eval_shotbench.commands.groups import CommandEntry, lazy_group
from lmms_eval_shotbench.progress import set_quiet

if TYPE_CHECKING:
    from typer._click import Command as AnyCommand

PROGRAM, COMPLETION_VARIABLE = "shotbench", "_SHOTBENCH_COMPLETE"
EVALUATE, RESULTS, TOOLS = "Evaluate a model", "Analyse results and questions", "Tools"
COMMANDS = [
    CommandEntry(name, summary, f"lmms_eval_shotbench.commands.{module}", panel)
    for panel, name, module, summary in (
        (EVALUATE, "eval", "evaluate", "Ask a model the questions through lmms-eval, and score its responses."),
        (EVALUATE, "presets", "presets", "Print the models that `shotbench eval --preset` knows."),
        (EVALUATE, "score", "score", "Score stored responses, without a model."),
        (EVALUATE, "refineshot", "refineshot", "Compute RefineShot's scores of stored responses."),
        (RESULTS, "compare", "compare", "Compare two runs on the same questions."),
        (RESULTS, "robust", "robust", "Measure whether a model is still right when the questions are changed."),
        (RESULTS, "transfer", "transfer", "Compare models across sets: does a lead on ShotBench survive elsewhere?"),
        (RESULTS, "report", "report", "Write one HTML page about one or more runs."),
        (RESULTS, "leaderboard", "leaderboard", "Print runs with their ranks among the published models."),
        (RESULTS, "export", "export", "Write the results of a run for the Hub, model cards or Inspect."),
        (RESULTS, "audit", "audit", "Check a set of questions: guessing, spread of the answers, faulty options."),
        (TOOLS, "doctor", "doctor", "Check the installation and this machine."),
        (TOOLS, "tasks-path", "tasks_path", "Print the folder of our tasks for lmms-eval and lm-eval."),
        (TOOLS, "tiny-model", "tiny_model", "Print the folder of the tiny model of this package."),
    )
]
ORDER = (
    "evaluate   data import-shotbench or data films, data audit, eval, report",
    "train      data import-shotqa or data films, train sft, train grpo,",
    "           train evaluate",
)
TERMS = (
    "dimension  what a question asks about, such as shot size or camera movement",
    "term       a possible answer in a dimension, such as close-up or pan left",
    "split      part of a question set: sft and grpo (training), dev, test",
    "shards     folder of Parquet files with questions and their media",
    "protocol   rules that find the chosen option in a response",
)


def _print_version(value: bool) -> None:
    if value:
        print(f"shotbench {__version__}")
        raise typer.Exit()


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


app = lazy_group(
    "Evaluate vision-language models on the language of film, make question sets from films, and train models.",
    COMMANDS,
    options=_options,
    mounts=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="COMMAND …",
    epilog="\n\n".join(
        (
            text_block("Usual order of commands", ORDER),
            text_block("Terms", TERMS),
            "`shotbench COMMAND --help` explains the options of a command.",
        )
    ),
)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status.

    Raises:
        KeyboardInterrupt: it was interrupted before a command ran.
    """
    invocation = Invocation(list(arguments))
    root = root_command()
    if os.environ.get(COMPLETION_VARIABLE):  # a shell asks for completions
        root.main(prog_name=PROGRAM)
    try:
        status = _status_of(root, invocation)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        if not _stdout_closed():
            raise  # another pipe broke: a genuine error
        return 128 + signal.SIGPIPE  # as a shell reports a program that SIGPIPE ended, e.g. in `| head`
    except (typer.TyperException, ModuleNotFoundError, ValueError, RuntimeError, OSError) as error:
        if invocation.debug:
            traceback.print_exc()
        print_message(_message(error, invocation))
        return getattr(error, "exit_status", 2)
    finally:
        set_quiet(False)  # `--quiet` is for one command, and a process may run several


def root_command() -> AnyCommand:
    """Return the group of all commands."""
    command = typer.main.get_command(app)
    command.params = without_types([*command.params, *general_options()])
    for param in command.params:
        param.rich_help_panel = GENERAL  # type: ignore[attr-defined]
    return command


def _status_of(root: AnyCommand, invocation: Invocation) -> int:
    """Run the command; unlike Typer's `main`, leave errors to the caller."""
    try:
        with root.make_context(PROGRAM, list(invocation.arguments), obj=invocation) as context:
            status = root.invoke(context)
    except typer.Exit as ended:
        status = ended.exit_code
    return status if isinstance(status, int) else 0  # commands of others may return anything


def _message(error: Exception, invocation: Invocation) -> str:
    """What went wrong and what to do next, in one line."""
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed; pip install 'lmms-eval-shotbench[{invocation.extra}]'"
    if isinstance(error, typer.TyperException):
        path = context.command_path if (context := getattr(error, "ctx", None)) else PROGRAM
        text = " ".join(error.format_message().split()).rstrip(".")
        return f"{text[:1].lower()}{text[1:]}; see {path} --help"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"  # without the number of the error
    return str(error)


def _stdout_closed() -> bool:
    """Whether the reader of stdout has closed it, as `| head` does; if so, redirect stdout to /dev/null."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)  # POLLERR is always reported
    if not output.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True
