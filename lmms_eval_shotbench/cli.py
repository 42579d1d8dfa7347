"""The `shotbench` program, whose commands are in `commands/root.py`.

Owns the outermost handling of an interruption. It imports nothing else before that: the libraries of the command line
take most of the time that a command takes to start.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

INTERRUPTED = 130  # exit status, as that of a program in a shell that SIGINT ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; `arguments` are those of the process by default."""
    try:
        from lmms_eval_shotbench.commands.root import run

        return run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:  # of a command that runs, `Command.invoke` states what it has kept
        print("shotbench: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
