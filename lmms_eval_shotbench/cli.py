"""The `shotbench` command line: parses arguments, runs the command, prints its result and sets the exit status.

Exit status: 0 success; 1 done, but something is missing or failed; 2 nothing done, invalid request or input.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path

from lmms_eval_shotbench import __version__

COMMAND_GROUPS = "shotbench.commands"  # entry points: a function that adds its commands to the subparsers
PATH_ERRORS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = build_parser()
    args, passed_on = parser.parse_known_args(arguments)
    if passed_on and not args.passes_on:
        parser.error(f"unknown arguments: {' '.join(passed_on)}")
    args.passed_on = passed_on
    args.command = ["shotbench", *(sys.argv[1:] if arguments is None else arguments)]
    try:
        run: Callable[[argparse.Namespace], int] = args.run
        status = run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        if not _stdout_closed():
            raise  # another pipe broke: a genuine error
        return 128 + signal.SIGPIPE  # as a shell reports a program that SIGPIPE ended, e.g. in `| head`
    except ModuleNotFoundError as error:
        print(
            f"shotbench: {error.name} is not installed; pip install 'lmms-eval-shotbench[{args.extra}]'",
            file=sys.stderr,
        )
        return 2
    except (ValueError, RuntimeError, *PATH_ERRORS) as error:
        print(f"shotbench: {error}", file=sys.stderr)
        return 2


def _stdout_closed() -> bool:
    """Whether the reader of stdout has closed it, as `| head` does; if so, redirect stdout to /dev/null."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)  # POLLERR is always reported
    if not output.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def build_parser() -> argparse.ArgumentParser:
    """Build the parser: this package's commands, then the groups registered as entry points `shotbench.commands`."""
    from lmms_eval_shotbench.commands.audit import add_audit
    from lmms_eval_shotbench.commands.compare import add_compare
    from lmms_eval_shotbench.commands.evaluate import add_eval
    from lmms_eval_shotbench.commands.refineshot import add_refineshot
    from lmms_eval_shotbench.commands.report import add_report
    from lmms_eval_shotbench.commands.robust import add_robust
    from lmms_eval_shotbench.commands.score import add_score

    parser = argparse.ArgumentParser(prog="shotbench", description="The language of film: test models, make data.")
    parser.add_argument("--version", action="version", version=f"shotbench {__version__}")
    parser.set_defaults(passes_on=False, extra="eval")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_eval(commands)
    add_score(commands)
    add_refineshot(commands)
    add_compare(commands)
    add_robust(commands)
    add_audit(commands)
    add_report(commands)
    _add_tasks_path(commands)
    _add_tiny_model(commands)
    for group in sorted(entry_points(group=COMMAND_GROUPS), key=lambda group: group.name):
        try:
            group.load()(commands)
        except Exception as error:  # of any type: another package's fault must not disable the other commands
            print(
                f"shotbench: the commands of {group.name!r} ({group.value}) cannot be loaded: {error}", file=sys.stderr
            )
    return parser


def _add_tasks_path(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("tasks-path", help="print the folder for lmms-eval --include_path")
    parser.add_argument("--lm-eval", action="store_true", help="the folder for lm-eval's --include_path instead")
    parser.set_defaults(run=_tasks_path)


def _tasks_path(args: argparse.Namespace) -> int:
    from lmms_eval_shotbench.harness.task_folder import lm_eval_tasks_path, tasks_path

    print(lm_eval_tasks_path() if args.lm_eval else tasks_path())
    return 0


def _add_tiny_model(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "tiny-model",
        help="print the folder of the tiny Qwen2.5-VL that comes with this package, trained on studio films",
    )
    parser.add_argument("--random", action="store_true", help="make one of random weights instead, for tests")
    parser.add_argument("--out", type=Path, help="checkpoint folder for --random")
    parser.set_defaults(run=_tiny_model)


def _tiny_model(args: argparse.Namespace) -> int:
    from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL, make_tiny_qwen

    if args.random != bool(args.out):
        raise ValueError("--random and --out go together; without them the folder of the trained model is printed")
    print(make_tiny_qwen(args.out) if args.random else TINY_SHOTVL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
