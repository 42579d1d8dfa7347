"""Runs of a command in processes of their own that are forked after the imports, of which lmms-eval's take 8 s.

They execute the command's `main` from its first line, and end by a signal like any other process.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import MappingProxyType

Kill = Callable[[], object]  # picklable; called first, and may arrange when the process kills itself
WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(
    [
        "lmms_eval.__main__",
        "lmms_eval_shotbench.harness.evaluate",
        "lmms_eval_shotbench.models.shotvl",
        "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
        "transformers.models.qwen2_5_vl.processing_qwen2_5_vl",
    ]
)


def warm(
    arguments: Sequence[str],
    log: Path,
    environment: Mapping[str, str] = MappingProxyType({}),
    kill: Kill | None = None,
) -> BaseProcess:
    """Start a command whose output is appended to `log`."""
    process = WARM.Process(target=_command, args=(list(arguments), log, dict(environment), kill))
    process.start()
    return process


def _command(arguments: list[str], log: Path, environment: dict[str, str], kill: Kill | None) -> None:
    os.environ.update(environment)
    if kill:
        kill()
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), sys.stdout.fileno())
        os.dup2(stream.fileno(), sys.stderr.fileno())
    from lmms_eval_shotbench.cli import main

    sys.exit(main(arguments))
