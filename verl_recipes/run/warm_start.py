"""Run a trainer on a CPU whose processes are forked from one that has imported torch and transformers.

    python -m verl_recipes.run.warm_start MODULE [ARGUMENT …]

A run of GRPO consists of ten Python processes. Each would import torch and transformers, which takes 4 to 5 seconds of
processor time and 0.7 GB of memory. Here one process imports them, then forks the trainer, `python -m MODULE …`, and
Ray's workers. Ray starts a worker by `PY_EXECUTABLE`, i.e. `forked_worker.py`, which sends the worker's arguments,
environment variables and standard streams to the socket in `SOCKET_VARIABLE`.

Neither Ray nor verl is imported before a fork, because Ray reads its environment variables when it is imported.
`PYTHONPATH` in Ray's runtime environment has no effect on a forked worker.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import runpy
import shlex
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from verl_recipes.run.forked_worker import SOCKET_VARIABLE

PY_EXECUTABLE = shlex.join([sys.executable, "-I", "-S", str(Path(__file__).with_name("forked_worker.py"))])
WARM_START = (sys.executable, "-m", "verl_recipes.run.warm_start")  # followed by a module and its arguments
PRELOADED = (  # imported by verl's processes, directly or through transformers
    "accelerate",
    "datasets",
    "fastapi",
    "hydra",
    "numpy",
    "pandas",
    "peft",
    "scipy.stats",
    "sklearn.metrics",
    "tensordict",
    "torch",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
    "torchdata.stateful_dataloader",
    "torchvision",
    "transformers.models.auto.modeling_auto",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
    "transformers.models.qwen2_5_vl.processing_qwen2_5_vl",
)
REAP_SECONDS = 0.1  # interval at which ended workers are reaped; until then they look alive to Ray


def preload() -> None:
    """Import what verl's processes need, and exempt it from garbage collection, which would copy shared pages."""
    for name in PRELOADED:
        importlib.import_module(name)
    _import_configurations()
    gc.freeze()


def _import_configurations() -> None:
    """Import the configurations of all models, as each of verl's workers does to choose a model's class.

    One of them imports timm, which tries to import wandb, for 2 s. A process that logs to wandb imports it later.
    """
    from transformers import AutoModelForImageTextToText

    sys.modules["wandb"] = None  # type: ignore[assignment]  # importing it raises ImportError
    AutoModelForImageTextToText._model_mapping.keys()
    del sys.modules["wandb"]


def run_trainer(arguments: Sequence[str]) -> int:
    """Fork `python -m ARGUMENTS` and, until it ends, the workers that Ray requests; return its exit status.

    Ray's workers end with their node, as usual.
    """
    first = os.getpid()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("")  # to a free abstract address, which ends with this process
        os.environ[SOCKET_VARIABLE] = listener.getsockname().decode().lstrip("\0")
        listener.listen(64)
        listener.settimeout(REAP_SECONDS)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until it can be passed on
        trainer = _fork(lambda: _run_module(list(arguments), first), listener)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(trainer, signal.SIGTERM))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the trainer as well
        while True:
            with suppress(TimeoutError):
                _answer(listener.accept()[0], listener)
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == trainer:
                    status = os.waitstatus_to_exitcode(ended[1])
                    return status if status >= 0 else 128 - status  # as a shell reports a signal


def _answer(connection: socket.socket, listener: socket.socket) -> None:
    """Fork the worker that one request describes; any user can connect, but only this one is served."""
    with connection:
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if struct.unpack("3i", peer)[1] != os.getuid():  # process, user, group
            return
        data, streams, _, _ = socket.recv_fds(connection, 65536, 3)
        while more := connection.recv(65536):
            data += more
    with suppress(ValueError):  # incomplete: the process that sent it was killed
        request = json.loads(data)
        _fork(lambda: _run_worker(request["arguments"], request["environment"], request["folder"], streams), listener)
    for stream in streams:
        os.close(stream)


def _run_module(arguments: list[str], parent: int) -> None:
    terminate_with_parent()
    if os.getppid() != parent:  # it died before
        return
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


def _run_worker(arguments: list[str], environment: dict[str, str], folder: str, streams: list[int]) -> None:
    import numpy as np

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    np.random.seed()  # otherwise all workers would draw the same numbers; Python's own generator is seeded at a fork
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")


def _fork(task: Callable[[], None], listener: socket.socket) -> int:
    """Fork a process that runs `task`; return its process id."""
    if process := os.fork():
        return process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGINT, signal.default_int_handler)
    listener.close()
    _exit_after(task)


def _exit_after(task: Callable[[], None]) -> NoReturn:
    """Run `task` and end the process as the interpreter would, without returning to the caller's frames."""
    status: object = 1
    try:
        task()
        status = 0
    except SystemExit as end:
        status = end.code or 0
        if not isinstance(status, int):
            sys.stderr.write(f"{status}\n")
            status = 1
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]  # wait for threads that are no daemons
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)


def terminate_with_parent() -> None:
    """Ask Linux to terminate this process when its parent dies, so that no orphaned run occupies GPUs."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    preload()
    sys.exit(run_trainer(sys.argv[1:]))
