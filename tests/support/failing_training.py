"""Faults of training runs: gradients that are nan, and rollout servers that hang.

Every Python process of a run started with `environment(...)` imports this module through `sitecustomize`. The variables
name the faults; nothing in the package knows them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support import REPOSITORY
from verl_recipes.inside_verl.divergence import ENGINE_MODULE
from verl_recipes.inside_verl.patch_on_import import when_imported

NAN_VARIABLE = "SHOTBENCH_TEST_NAN_UPDATES"  # numbers of updates of a trainer, from 1, whose gradients become nan
HANG_VARIABLE = "SHOTBENCH_TEST_HANGING"  # folder with a file for each method of a server that hangs once
HANGING = ("generate", "update_weights")  # methods of the server


def environment(folder: Path, *, nan_updates: Iterable[int] = (), hanging: Iterable[str] = ()) -> dict[str, str]:
    """Environment variables of a run with these faults; `folder` is an empty folder of the test."""
    (folder / "sitecustomize.py").write_text(f"import {__name__}\n{__name__}.install()\n")
    for method in hanging:
        (folder / method).touch()
    paths = [str(folder), str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    numbers = ",".join(map(str, nan_updates))
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        NAN_VARIABLE: numbers,
        HANG_VARIABLE: str(folder),
    }


def install() -> None:
    """Patch the processes that are to fail, when they import the patched module."""
    if os.environ.get(NAN_VARIABLE):
        when_imported(ENGINE_MODULE, spoil_gradients)
    if HANG_VARIABLE in os.environ:
        when_imported("verl_recipes.cpu.hf_server", _hang_once)


def spoil_gradients(module: Any) -> None:
    """Set the gradients of the updates of `NAN_VARIABLE` to nan, before verl computes their norm."""
    step, numbers = module.FSDPEngine.optimizer_step, {int(text) for text in os.environ[NAN_VARIABLE].split(",")}
    updates = 0

    def optimizer_step(self: Any) -> Any:
        nonlocal updates
        updates += 1
        if updates in numbers:
            for weight in self.module.parameters():
                if weight.grad is not None:
                    weight.grad.fill_(float("nan"))
        return step(self)

    module.FSDPEngine.optimizer_step = optimizer_step


def _hang_once(hf_server: Any) -> None:
    for name in HANGING:
        setattr(hf_server.HFServer, name, _hanging_once(getattr(hf_server.HFServer, name), name))


def _hanging_once(method: Any, name: str) -> Any:
    async def hang_or_call(self: Any, *arguments: Any, **named: Any) -> Any:
        if self.step is not None and self.step >= 1:  # after a checkpoint
            with suppress(FileNotFoundError):
                (Path(os.environ[HANG_VARIABLE]) / name).unlink()
                while True:
                    time.sleep(3600)  # blocks the server's event loop, as a deadlock does
        return await method(self, *arguments, **named)

    return hang_or_call
