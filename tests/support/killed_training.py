"""Processes of a training run that kill themselves at a step given by an environment variable.

Every Python process of a run started with `environment(...)` imports this module through `sitecustomize`. The variables
set the step after whose metrics the trainer is killed, or with whose weights the rollout server is killed.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from tests.support import REPOSITORY
from verl_recipes.inside_verl.patch_on_import import when_imported

TRAINER_VARIABLE = "SHOTBENCH_TEST_TRAINER_DIES_AT"
SERVER_VARIABLE = "SHOTBENCH_TEST_SERVER_DIES_AT"


def environment(folder: Path, variable: str, step: int) -> dict[str, str]:
    """Environment of a run in which the process of `variable` is killed at `step`; `folder` is a folder of the test."""
    (folder / "sitecustomize.py").write_text(f"import {__name__}\n{__name__}.install()\n")
    paths = [str(folder), str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), variable: str(step)}


def install() -> None:
    """Patch the process that is to be killed, when it imports the patched module."""
    if TRAINER_VARIABLE in os.environ:
        when_imported("verl.utils.tracking", _kill_after_metrics)
    if SERVER_VARIABLE in os.environ:
        when_imported("verl_recipes.cpu.hf_server", _kill_in_generate)


def _kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_after_metrics(tracking: Any) -> None:
    log = tracking.FileLogger.log

    def log_and_kill(self: Any, data: Any, step: int) -> None:
        log(self, data, step)
        if step == int(os.environ[TRAINER_VARIABLE]):
            _kill_this_process()

    tracking.FileLogger.log = log_and_kill


def _kill_in_generate(hf_server: Any) -> None:
    generate = hf_server.HFServer.generate

    async def generate_or_kill(self: Any, *arguments: Any, **named: Any) -> Any:
        if self.step is not None and self.step >= int(os.environ[SERVER_VARIABLE]):
            _kill_this_process()
        return await generate(self, *arguments, **named)

    hf_server.HFServer.generate = generate_or_kill
