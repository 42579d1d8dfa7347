"""`shotbench data import-shotqa`: convert the ShotQA release to shards for training."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from data_pipeline.commands.console import print_media_warnings
from data_pipeline.commands.options import (
    CORES,
    SELECTION,
    SHARDS_KEPT,
    Overwrite,
    RayAddress,
    ReportFile,
    ShardsOut,
    WorkersOption,
)
from lmms_eval_shotbench.commands.command import About, one_command

app, command = one_command(
    "import-shotqa",
    About(
        extra="data",
        kept=SHARDS_KEPT,
        examples=("shotbench data import-shotqa Vchitect/ShotQA --out shards/shotqa",),
    ),
)


@command
def import_release(
    release: Annotated[
        str, typer.Argument(metavar="RELEASE", help="Folder with the files of ShotQA as published, or their Hub id")
    ],
    out: ShardsOut,
    dev_share: Annotated[
        float,
        typer.Option(
            "--dev-share",
            metavar="SHARE",
            help="Share of the films that form the split dev: at least 0 and below 1",
            rich_help_panel=SELECTION,
        ),
    ] = 0.02,
    media: Annotated[
        Literal["check", "trust"],
        typer.Option(
            "--media",
            help="Check of stills and clips: check decodes each of them and drops the questions about broken ones; "
            "trust inspects only headers, which is much faster",
            rich_help_panel=SELECTION,
        ),
    ] = "check",
    with_open_ended: Annotated[
        bool,
        typer.Option(
            "--with-open-ended",
            help="Also import the multiple-choice questions of sft_v1.1.json, a file of mostly open-ended questions; "
            "the open-ended ones are never imported",
            rich_help_panel=SELECTION,
        ),
    ] = False,
    report: ReportFile = None,
    overwrite: Overwrite = False,
    workers: WorkersOption = CORES,
    ray_address: RayAddress = "",
) -> int:
    """Convert the ShotQA release to shards for training, with the splits sft, grpo and dev."""
    from data_pipeline.releases.import_shotqa import import_shotqa
    from data_pipeline.releases.shotqa_questions import ShotQAChoices
    from data_pipeline.workers import Workers

    choices = ShotQAChoices(dev_share, media, with_open_ended)
    on_workers = Workers.reachable(workers, ray_address)
    done = import_shotqa(release, out, choices, workers=on_workers, overwrite=overwrite, report=report)
    lines = [("rows read", done.rows_read)]
    lines += [(f"rows in {split}", rows) for split, rows in done.rows_written.items()]
    lines += [(f"left out: {reason}", rows) for reason, rows in sorted(done.drops.items())]
    print(f"{done.folder} {'was complete already' if done.already_complete else 'is written'}")
    print("\n".join(f"{name:<40}{rows:>10,}" for name, rows in lines))
    print_media_warnings(done.defects)
    return 0
