"""Packages from the package index, installed into a folder of their own instead of the tests' environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def install_into(folder: Path, *requirements: str) -> None:
    """Install packages into a folder to import from; skip the test (in CI: fail) if no package index is reachable.

    Args:
        folder: Folder to install into.
        requirements: Requirements with their versions, and options that pip and uv share.
    """
    by_uv = ["uv", "pip", "install", "--python", sys.executable]
    by_pip = ["pip", "install", "--disable-pip-version-check", "--retries=1"]
    reason = ""
    for installer in (by_uv, by_pip):
        command = [sys.executable, "-m", *installer, "--quiet", "--target", str(folder), *requirements]
        finished = subprocess.run(command, capture_output=True, text=True)
        if finished.returncode == 0:
            return
        reason += finished.stderr[-1000:]
    stop = pytest.fail if os.environ.get("CI") else pytest.skip
    stop(f"{' '.join(requirements)} cannot be installed: {reason}")
