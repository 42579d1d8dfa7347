"""`shotbench label apply`: merge corrections of a person into labelled films."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from data_pipeline.commands.console import print_error
from lmms_eval_shotbench.commands.command import About, one_command

app, command = one_command(
    "apply",
    About(
        extra="label",
        kept="the corrections may be merged already; the same command completes the files",
        examples=("shotbench label apply labels/mine corrections.csv",),
        samples={
            "Smallest file of corrections": (
                "shot_id,dimension,label,status,time",
                "harbour-0001,shot_size,Close Up,labelled,2026-11-30T10:00:00Z",
                "harbour-0002,camera_angle,,none,2026-11-30T10:00:05Z",
            )
        },
    ),
)


@command
def apply(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="Folder of `shotbench label`")],
    corrections: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="File corrections.csv, saved on the page labels.html of this folder"),
    ],
) -> int:
    """Merge corrections into labelled films: shots.csv and all files made of it are written again.

    Of each cell the latest correction counts. All of them are kept in LABELS/corrections.csv, and labelling again never
    replaces a corrected cell. The exit status is 1 if corrections belong to no shot because the films are cut
    differently now; these are listed, and kept as well.
    """
    from data_pipeline.shards.folder_lock import only_writer
    from data_pipeline.shards.full_disk import disk_full_reported
    from lmms_eval_shotbench.labelling.apply_corrections import apply_corrections, lost_text

    with only_writer(labels), disk_full_reported(labels):
        applied = apply_corrections(labels, corrections)
    print(f"{corrections}: corrections: {applied.read:,}; cells of {labels} set by a person: {applied.cells:,}")
    for one in applied.lost:
        print_error(f"lost: {lost_text(one)}")
    return int(bool(applied.lost))
