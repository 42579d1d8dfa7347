"""Patch vLLM to end its engine if the process that started it is killed.

The engine is a process of its own that waits for requests. When an evaluation, or the rollout server of a training run,
is killed, it may wait forever: its workers keep the memory of the GPU, and nothing can resume on it. vLLM ends the
workers with the engine.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from typing import Any

MODULE = "vllm.v1.engine.core"
PR_SET_PDEATHSIG = 1


def end_with_parent(module: Any) -> None:
    """Patch vLLM's module `MODULE` in the process that starts an engine. Calling it again has no effect."""
    original = module.EngineCoreProc.run_engine_core
    if original is not run_engine_core:
        run_engine_core.__wrapped__ = original  # type: ignore[attr-defined]
        module.EngineCoreProc.run_engine_core = staticmethod(run_engine_core)


def run_engine_core(*arguments: Any, **named: Any) -> None:
    """Run vLLM's engine, in its own process, which unpickles this function by name and may not be patched."""
    from vllm.v1.engine.core import EngineCoreProc

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # Linux sends it when the parent ends
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():  # it ended before
        os.kill(os.getpid(), signal.SIGKILL)
    original = EngineCoreProc.run_engine_core
    getattr(original, "__wrapped__", original)(*arguments, **named)
