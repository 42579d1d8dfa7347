"""Runs of a command in processes of their own that are forked after the imports, of which lmms-eval's take 8 s.

They execute the command's `main` from its first line, and end by a signal like any other process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import MappingProxyType

from tests.support.ports import free_port
from verl_recipes.run.preloaded_process import PRELOADED

# lmms-eval assigns each process a GPU if any is visible, but there may be fewer GPUs than processes.
WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": ""}
Kill = Callable[[], object]  # picklable; called first, and may arrange when the process kills itself
WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload([*PRELOADED, "tests.support.frozen_imports"])


def warm(
    arguments: Sequence[str],
    log: Path,
    environment: Mapping[str, str] = MappingProxyType({}),
    kill: Kill | None = None,
) -> BaseProcess:
    """Start a command in this process's environment and the given one; its output is appended to `log`."""
    process = WARM.Process(target=_command, args=(list(arguments), log, os.environ | dict(environment), kill))
    process.start()
    return process


def warm_ranks(arguments: Sequence[str], processes: int, log: Path, kill: Kill | None = None) -> list[int | None]:
    """Run a command in several processes, in the environment that a launcher sets; return their exit statuses."""
    of_all = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), **WITHOUT_GPU}
    of_all |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(processes))
    each = (dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank)) for rank in range(processes))
    started = [warm(arguments, log, of_all | own, kill) for own in each]
    for process in started:
        process.join()
    return [process.exitcode for process in started]


def execute(code: Sequence[str]) -> None:
    """Execute lines of source code: a task of `run_preloaded` that imports nothing itself."""
    exec("\n".join(code), {})


def _command(arguments: list[str], log: Path, environment: dict[str, str], kill: Kill | None) -> None:
    os.environ.update(environment)
    # Where pytest itself runs in the background, SIGINT is ignored, and its children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if kill:
        kill()
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), sys.stdout.fileno())
        os.dup2(stream.fileno(), sys.stderr.fileno())
    from lmms_eval_shotbench.cli import main

    sys.exit(main(arguments))
