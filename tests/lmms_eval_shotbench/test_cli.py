"""Command groups that other packages register by entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import REPOSITORY

COMMANDS = """
def add_commands(commands):
    commands.add_parser("label", help="label shots").set_defaults(run=lambda args: print("labelled") or 0)
"""


def installed_package(folder: Path, module: str) -> dict[str, str]:
    """Environment in which a package is installed that registers `label_shots:add_commands`; `module` is its code."""
    metadata = folder / "label_shots-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: label-shots\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[shotbench.commands]\nlabel = label_shots:add_commands\n")
    (folder / "label_shots.py").write_text(module)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)])}


def shotbench(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lmms_eval_shotbench.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_another_package_adds_a_command(tmp_path: Path) -> None:
    finished = shotbench(installed_package(tmp_path, COMMANDS), "label")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "labelled\n", "")


@pytest.mark.parametrize("module", ["import absent_library", "def add_commands(commands): raise ValueError('broken')"])
def test_a_package_whose_commands_cannot_be_loaded_costs_only_these(tmp_path: Path, module: str) -> None:
    environment = installed_package(tmp_path, module)
    finished = shotbench(environment, "score", "--help")
    assert finished.returncode == 0 and "usage: shotbench score" in finished.stdout
    assert finished.stderr.startswith(
        "shotbench: the commands of 'label' (label_shots:add_commands) cannot be loaded: "
    )
    assert len(finished.stderr.splitlines()) == 1
    assert shotbench(environment, "label").returncode == 2
