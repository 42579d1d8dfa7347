"""Options that several commands of the pipeline share, as annotated types, and what they mean."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from lmms_eval_shotbench.commands.options import output_file
from lmms_eval_shotbench.remote_path import ADDRESS

CUTTING, SELECTION, QUALITY, OUTPUT, EXECUTION = "Cutting", "Questions", "Checks", "Output", "Execution"  # panels
CORES = os.cpu_count() or 1
SHARDS_KEPT = "shard files that are complete are kept beside {out}, and the same command continues with the others"


def local_folder(name: str) -> Path:
    """Return a path; refuse an address such as s3://bucket, of which a `Path` would make a local folder `s3:`."""
    if ADDRESS in name:
        raise typer.BadParameter(
            f"{name} is an address, and this command writes to a local folder; send the folder there afterwards: "
            f"shotbench data push FOLDER {name}"
        )
    return Path(name)


ShardsOut = Annotated[
    Path,
    typer.Option("--out", metavar="FOLDER", help="Shard folder to write", parser=local_folder, rich_help_panel=OUTPUT),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace shards of another source, or broken ones, that are in the folder --out; without this option the "
        "command refuses to write there",
        rich_help_panel=OUTPUT,
    ),
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        "--against",
        metavar="SHARDS",
        help="Shard folder or Hub id of a benchmark, none of whose stills and clips may be among the media; may be "
        "given several times. Only `shotbench data leaks` finds copies that are mirrored, in black bars or cut from a "
        "clip",
        show_default="no comparison",
        rich_help_panel=QUALITY,
    ),
]
Gate = Annotated[
    float | None,
    typer.Option(
        "--gate",
        metavar="POINTS",
        help="Percentage points, from 0 to 100, by which guessing the option that is most often right may exceed "
        "chance in a dimension; the audit fails if it is certainly more (95 % interval)",
        show_default="5",
        rich_help_panel=QUALITY,
    ),
]
CuttingConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="TOML file with thresholds for cutting and picture quality; all names are listed in docs/own_film.md",
        show_default="the built-in thresholds",
        rich_help_panel=CUTTING,
    ),
]
Detector = Annotated[
    Literal["adaptive", "content", "threshold", "histogram", "transnetv2"] | None,
    typer.Option(
        "--detector",
        help="Detector of cuts: adaptive tolerates fast camera movement, content and histogram compare changes "
        "with a constant, threshold finds fades through black, transnetv2 is a network from the extra of "
        "this name; settings and measured accuracy are in docs/own_film.md",
        show_default="adaptive",
        rich_help_panel=CUTTING,
    ),
]
FlashFrames = Annotated[
    int | None,
    typer.Option(
        "--flash-frames",
        metavar="N",
        help="Number of frames from which a change between two views of the same picture is no flash; shorter ones "
        "are no cuts and are reported; 0 to keep them as cuts",
        show_default="6",
        rich_help_panel=CUTTING,
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        metavar="N",
        help="Number of Ray worker processes; with 0, this process does the work without Ray",
        show_default="number of CPU cores",
        rich_help_panel=EXECUTION,
    ),
]
CheckWorkers = Annotated[
    int,
    typer.Option(
        "--workers",
        metavar="N",
        help="Number of Ray worker processes that check stills and clips; with 0, threads of this process do",
        rich_help_panel=EXECUTION,
    ),
]
RayAddress = Annotated[
    str,
    typer.Option(
        "--ray-address",
        metavar="ADDRESS",
        help="Address of a running Ray cluster to use, such as auto or ray://HOST:10001",
        show_default="Ray is started on this machine",
        rich_help_panel=EXECUTION,
    ),
]
ShotLimit = Annotated[
    int,
    typer.Option(
        "--limit",
        metavar="N",
        min=0,
        help="Maximum number of shots of each film, from its beginning, for a trial; 0 for all",
        rich_help_panel=CUTTING,
    ),
]
Timelines = Annotated[
    bool,
    typer.Option(
        "--timelines/--no-timelines",
        help="Write the shots as .otio, EDL, FCPXML and Final Cut 7 XML",
        rich_help_panel=OUTPUT,
    ),
]
Splits = Annotated[
    str,
    typer.Option(
        "--splits",
        metavar="NAME:SHARE,…",
        help="Splits, and the share of the films in each, in proportion to their sum: sft and grpo are for training, "
        "dev for validation during training, test for evaluation. test:1 makes a test set only. All questions of a "
        "film are in one split",
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
        show_default="not written",
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
