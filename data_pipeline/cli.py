"""`shotbench data …`: mounts the pipeline's commands, one module each in `commands/`."""

from __future__ import annotations

import argparse

from data_pipeline.commands import audit, chains, difficulty, films, import_shotbench, import_shotqa, push, studio

COMMANDS = (import_shotbench, import_shotqa, studio, chains, push, difficulty, films, audit)


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `data` command and its sub-commands to a parser."""
    data = commands.add_parser("data", help="make question shards from releases and film")
    data.set_defaults(extra="data")  # the extra that installs a missing library
    steps = data.add_subparsers(title="steps", metavar="STEP", required=True)
    for command in COMMANDS:
        command.add(steps)
