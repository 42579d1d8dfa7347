"""Processes of a training run that kill themselves, or wait, at a step given by an environment variable.

Every Python process of a run started with `environment(...)` imports this module through `sitecustomize`. The variables
set the step after whose metrics the trainer is killed or waits until it is requested to stop, or with whose weights the
rollout server is killed.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.support import REPOSITORY
from verl_recipes.inside_verl.patch_on_import import when_imported
from verl_recipes.inside_verl.stop_request import StopRequest

TRAINER_VARIABLE = "SHOTBENCH_TEST_TRAINER_DIES_AT"
HELD_VARIABLE = "SHOTBENCH_TEST_TRAINER_HELD_AT"
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
    if HELD_VARIABLE in os.environ:
        when_imported("verl.utils.tracking", _hold_after_metrics)
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


def _hold_after_metrics(tracking: Any) -> None:
    log = tracking.FileLogger.log

    def log_and_hold(self: Any, data: Any, step: int) -> None:
        log(self, data, step)
        run = Path(os.environ["VERL_FILE_LOGGER_PATH"]).parents[1]
        while step == int(os.environ[HELD_VARIABLE]) and not StopRequest(run).exists():
            time.sleep(0.2)

    tracking.FileLogger.log = log_and_hold


def _kill_in_generate(hf_server: Any) -> None:
    generate = hf_server.HFServer.generate

    async def generate_or_kill(self: Any, *arguments: Any, **named: Any) -> Any:
        if self.step is not None and self.step >= int(os.environ[SERVER_VARIABLE]):
            _kill_this_process()
        return await generate(self, *arguments, **named)

    hf_server.HFServer.generate = generate_or_kill
