"""Options that several commands of the pipeline share, as annotated types, and what they mean."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from lmms_eval_shotbench.commands.options import output_file

SELECTION, QUALITY, OUTPUT, EXECUTION = "Questions", "Checks", "Output", "Execution"  # panels
CORES = os.cpu_count() or 1
SHARDS_KEPT = "shard files that are complete are kept beside {out}, and the same command continues with the others"


ShardsOut = Annotated[
    Path,
    typer.Option("--out", metavar="FOLDER", help="Shard folder to write", rich_help_panel=OUTPUT),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace shards with other content that are at the output; otherwise they are refused",
        rich_help_panel=OUTPUT,
    ),
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        "--against",
        metavar="SHARDS",
        help="Shard folder or Hub id whose pictures must not occur, such as those of a benchmark; may be given "
        "several times",
        show_default="none",
        rich_help_panel=QUALITY,
    ),
]
Gate = Annotated[
    float | None,
    typer.Option(
        "--gate",
        metavar="POINTS",
        help="Maximum accuracy above chance that guessing by option frequencies may reach in a dimension, in "
        "percentage points from 0 to 100",
        show_default="5",
        rich_help_panel=QUALITY,
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        metavar="N",
        help="Number of Ray worker processes; 0 works in this process, without Ray",
        show_default="number of CPU cores",
        rich_help_panel=EXECUTION,
    ),
]
RayAddress = Annotated[
    str,
    typer.Option(
        "--ray-address",
        metavar="ADDRESS",
        help="Address of a running Ray cluster to use, such as auto or ray://HOST:10001",
        show_default="none: Ray is started on this machine",
        rich_help_panel=EXECUTION,
    ),
]
Splits = Annotated[
    str,
    typer.Option(
        "--splits",
        metavar="NAME:SHARE,…",
        help="Splits, and the share of the films in each, in proportion to their sum; the questions of a film are in "
        "one split",
        show_default="sft:6,grpo:2,dev:1,test:1",
        rich_help_panel=SELECTION,
    ),
]
ReportFile = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="JSON lines file for every dropped row and every remark",
        show_default="none",
        callback=output_file,
        rich_help_panel=OUTPUT,
    ),
]


def margin_of(gate: float | None, no_gate: bool) -> float | None:
    """Maximum blind accuracy above chance as a fraction, or None for no gate; raises `ValueError` if invalid."""
    from data_pipeline.checks.blind_audit import MARGIN

    if no_gate:
        return None
    if gate is None:
        return MARGIN
    if not 0 <= gate <= 100:
        raise ValueError(f"--gate is {gate:g}; use points from 0 to 100, or --no-gate")
    return float(gate / 100)
