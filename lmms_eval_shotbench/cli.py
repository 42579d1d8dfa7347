"""The `shotbench` program, whose commands are in `commands/root.py`.

Owns what an interruption does before and after a command: it imports nothing else first, since the libraries of the
command line take most of the time that a command takes to start. While one runs, `Command.invoke` handles it.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Sequence

INTERRUPTED = 130  # exit status, as that of a program in a shell that SIGINT ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; without `arguments`, as the program, which ends with it."""
    try:
        from lmms_eval_shotbench.commands.root import run

        status = run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        print("shotbench: interrupted; nothing was written", file=sys.stderr)
        status = INTERRUPTED
    if arguments is None:
        _keep_status(status)
    return status


def _keep_status(status: int) -> None:
    """Let the process end with this status even if it is interrupted: with PyTorch loaded, ending takes seconds."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: os._exit(status))  # do not wait for threads any longer
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # later, Python would restore the default: death


if __name__ == "__main__":
    sys.exit(main())
