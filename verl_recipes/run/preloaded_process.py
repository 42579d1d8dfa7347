"""Run a function in a process forked from one that has imported torch, transformers and lmms-eval.

These imports take ten seconds of processor time; the processes that merge and evaluate a run share them. The
processes of a training run do likewise, see `warm_start.py`.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

PRELOADED = (
    "lmms_eval.__main__",
    "lmms_eval_shotbench.harness.evaluate",
    "lmms_eval_shotbench.models.shotvl",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
    "transformers.models.qwen2_5_vl.processing_qwen2_5_vl",
)


def run_preloaded(
    task: Callable[[list[str]], None], arguments: list[str], environment: Mapping[str, str]
) -> tuple[int, str]:
    """Run `task(arguments)` in a process of its own, in this folder, and return its exit status and its output.

    Args:
        task: Function of a module.
        arguments: Its argument.
        environment: All environment variables of the process.

    Returns:
        The exit status, negative for the number of a signal, and what was written to stdout and stderr.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    with tempfile.NamedTemporaryFile("r+", errors="replace") as output:
        process = context.Process(target=_run, args=(task, arguments, dict(environment), Path.cwd(), output.name))
        process.start()
        process.join()
        return process.exitcode or 0, output.read()


def _run(
    task: Callable[[list[str]], None], arguments: list[str], environment: dict[str, str], folder: Path, output: str
) -> None:
    with Path(output).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    task(arguments)
