"""`shotbench data import-dataset`: convert a published set other than ShotBench and ShotQA to shards."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from data_pipeline.commands.console import report_import
from data_pipeline.commands.options import (
    OUTPUT,
    SELECTION,
    SHARDS_KEPT,
    CheckWorkers,
    Overwrite,
    RayAddress,
    ReportFile,
    ShardsOut,
)
from lmms_eval_shotbench.commands.command import About, one_command

SetName = Literal["types-of-film-shots", "camerabench", "cinetechbench", "acam-bench", "camreasoner"]

app, command = one_command(
    "import-dataset",
    About(
        extra="data",
        kept=SHARDS_KEPT,
        examples=(
            "shotbench data import-dataset types-of-film-shots \\",
            "    szymonrucinski/types-of-film-shots --out shards/film_shots",
            "shotbench data import-dataset camerabench syCen/CameraBench \\",
            "    --media Videos4CameraBench --out shards/camerabench",
        ),
    ),
)


@command
def import_release(
    name: Annotated[
        SetName, typer.Argument(metavar="NAME", help=f"Name of the dataset: {', '.join(get_args(SetName))}")
    ],
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Folder with the files of the dataset as published, or their Hub id")
    ],
    out: ShardsOut,
    media: Annotated[
        list[Path] | None,
        typer.Option(
            "--media",
            metavar="FOLDER",
            help="Folder with stills or clips that are not in SOURCE, unpacked or in zip files; may be given several "
            "times",
            show_default="only the media in SOURCE",
            rich_help_panel=SELECTION,
        ),
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Write the shards without the rows whose still or clip is missing or broken, and list these rows in "
            "the dataset card. Without this option a single such row stops the import, and nothing is written",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    report: ReportFile = None,
    overwrite: Overwrite = False,
    workers: CheckWorkers = 0,
    ray_address: RayAddress = "",
) -> int:
    """Convert a published dataset with labels of film language to shards, each with its own source and licence.

    Questions keep the option texts of the dataset. Rows about classes that correspond to no term of ShotBench are left
    out, by name, in the dataset card.
    """
    from data_pipeline.releases.import_published_set import import_published_set
    from data_pipeline.workers import Workers

    running = partial(import_published_set, name, source, out, media=media or (), overwrite=overwrite, report=report)
    return report_import(partial(running, allow_missing=allow_missing, workers=Workers.reachable(workers, ray_address)))
