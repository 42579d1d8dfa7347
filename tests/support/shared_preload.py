"""Training runs whose processes are forked from one that has imported torch for all tests.

Each run by a tiny recipe would import it again, in `verl_recipes/run/warm_start.py`, for 14 s of processor time. A
process of that module is started once, with `serve` in place of a trainer, and `request` takes the place of its
command: it requests a process as Ray's workers do, waits until that has ended, and ends with its exit status. The
requested process executes `run_trainer`, like the one that it replaces.
"""

from __future__ import annotations

import importlib.util
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support import REPOSITORY
from verl_recipes.run import forked_worker
from verl_recipes.run.warm_start import WARM_START, run_trainer, terminate_with_parent

STATUS_VARIABLE = "SHOTBENCH_TEST_STATUS_SOCKET"
REQUEST = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})  # a run has a folder of its own
from tests.support.shared_preload import request
sys.exit(request(*sys.argv[1:]))
"""
START_SECONDS = 120  # for a fork on a busy machine
POLL_SECONDS = 0.1


@contextmanager
def shared_preload() -> Iterator[tuple[str, ...]]:
    """What replaces `WARM_START` while the process exists from which trainers are forked."""
    from verl_recipes import recipes

    environment = os.environ | recipes.environment(recipes.compose("grpo", "tiny", []))
    with subprocess.Popen(
        [*WARM_START, "tests.support.shared_preload", "serve"],
        env=environment, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=terminate_with_parent,
    ) as server:  # fmt: skip
        assert server.stdin is not None and server.stdout is not None
        yield sys.executable, "-c", REQUEST, server.stdout.readline().strip()
        server.stdin.close()


def serve() -> None:
    """Print where processes can be requested; end when the tests have ended."""
    sys.stdout.write(f"{os.environ[forked_worker.SOCKET_VARIABLE]}\n")
    sys.stdout.flush()
    sys.stdin.read()


def request(server: str, *arguments: str) -> int:
    """Request a process that executes `run(*arguments)`; return its exit status."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("")
        listener.listen(1)
        listener.settimeout(START_SECONDS)
        os.environ[STATUS_VARIABLE] = listener.getsockname().decode().lstrip("\0")
        os.environ[forked_worker.SOCKET_VARIABLE] = server
        sys.argv[1:] = [__file__, "run", *arguments]
        forked_worker.main()
        connection = listener.accept()[0]
    return (connection.recv(1) or b"\1")[0]


def run(*arguments: str) -> None:
    """Execute `run_trainer` as a new process of Python would, until it ends or its command is killed."""
    with socket.socket(socket.AF_UNIX) as command:
        command.connect("\0" + os.environ.pop(STATUS_VARIABLE))
        if not (first := os.fork()):
            command.close()
            terminate_with_parent()
            _customize()
            sys.exit(run_trainer(arguments))
        while not (ended := os.waitpid(first, os.WNOHANG))[0]:
            if select.select([command], [], [], POLL_SECONDS)[0]:
                os.kill(first, signal.SIGTERM)
                return
        status = os.waitstatus_to_exitcode(ended[1])
        command.sendall(bytes([status if status >= 0 else 128 - status]))


def _customize() -> None:
    """Import `sitecustomize` from PYTHONPATH, as Python does when it starts."""
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.modules.pop("sitecustomize", None)
    if importlib.util.find_spec("sitecustomize"):
        importlib.import_module("sitecustomize")


if __name__ == "__main__":
    {"serve": serve, "run": run}[sys.argv[1]](*sys.argv[2:])
