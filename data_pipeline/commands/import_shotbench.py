"""`shotbench data import-shotbench`: convert the official ShotBench release to shards."""

from __future__ import annotations

from functools import partial
from typing import Annotated

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

app, command = one_command(
    "import-shotbench",
    About(
        extra="data",
        kept=SHARDS_KEPT,
        several=("--dimensions",),
        examples=(
            "shotbench data import-shotbench Vchitect/ShotBench --out shards/shotbench",
            "shotbench data import-shotbench downloads/ShotBench --out shards/shotbench",
            "shotbench data import-shotbench downloads/ShotBench --out shards/sizes \\",
            "    --dimensions shot_size",
        ),
    ),
)


@command
def import_release(
    release: Annotated[
        str,
        typer.Argument(
            metavar="RELEASE", help="Folder with test.tsv, images.tar and videos.tar as published, or their Hub id"
        ),
    ],
    out: ShardsOut,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Write the shards without the rows whose still or clip is missing or broken, and list these rows in "
            "the dataset card; one of images.tar and videos.tar may be missing. Without this option a single such "
            "row stops the import, and nothing is written",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    dimensions: Annotated[
        list[str] | None,
        typer.Option(
            "--dimensions",
            metavar="NAME",
            help="Dimensions whose questions are imported, such as shot_size; several names may follow. Media of other "
            "questions are not needed",
            show_default="all",
            rich_help_panel=SELECTION,
        ),
    ] = None,
    report: ReportFile = None,
    overwrite: Overwrite = False,
    workers: CheckWorkers = 0,
    ray_address: RayAddress = "",
) -> int:
    """Convert the official ShotBench release to shards."""
    from data_pipeline.releases.import_shotbench import import_shotbench
    from data_pipeline.workers import Workers
    from lmms_eval_shotbench.vocabulary import dimension_named

    slugs = [dimension_named(name).slug for name in dimensions or ()]
    running = partial(import_shotbench, release, out, dimensions=slugs, overwrite=overwrite, report=report)
    return report_import(partial(running, allow_missing=allow_missing, workers=Workers.reachable(workers, ray_address)))
