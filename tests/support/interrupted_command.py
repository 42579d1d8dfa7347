"""A command that is interrupted as by Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.support import REPOSITORY


def interrupted(arguments: list[str], started: Callable[[], bool], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, interrupt it as Ctrl-C does once it has started, and return how it ended."""
    command = [sys.executable, "-m", "lmms_eval_shotbench.cli", *arguments]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where pytest itself runs in the background, SIGINT is ignored, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and not started():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)
