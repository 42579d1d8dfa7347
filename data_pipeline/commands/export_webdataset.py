"""`shotbench data export-webdataset`: write shards as WebDataset tars."""

from __future__ import annotations

from typing import Annotated

import typer

from data_pipeline.commands.options import OUTPUT
from lmms_eval_shotbench.commands.command import About, one_command

app, command = one_command(
    "export-webdataset",
    About(
        extra="data",
        kept="tars in {out} are incomplete, and the same command writes them again",
        examples=(
            "shotbench data export-webdataset shards/mine --out tars/mine",
            "shotbench data export-webdataset s3://bucket/shards --out s3://bucket/tars \\",
            "    --tar-megabytes 500",
        ),
        samples={
            "Reading them with the package webdataset": ('webdataset.WebDataset("tars/mine/sft-{000000..000012}.tar")',)
        },
    ),
)


@command
def export_tars(
    shards: Annotated[
        str, typer.Argument(metavar="SHARDS", help="Shard folder, address such as s3://BUCKET/FOLDER, or Hub id")
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Folder to write, also in an object store: SPLIT-000000.tar and so on, and index.json",
            rich_help_panel=OUTPUT,
        ),
    ],
    tar_megabytes: Annotated[
        int,
        typer.Option(
            "--tar-megabytes",
            metavar="N",
            min=1,
            help="Size in megabytes with which a tar ends",
            rich_help_panel=OUTPUT,
        ),
    ] = 1000,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace tars of other shards, or of another size; without this option the command refuses to",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
) -> int:
    """Write shards as WebDataset tars: a sample per still or clip, with its bytes and all questions about it."""
    from data_pipeline.shards.export_webdataset import export_webdataset
    from lmms_eval_shotbench.remote_path import location

    done = export_webdataset(shards, location(out), tar_megabytes * 1_000_000, overwrite)
    state = "was complete already" if done.already_complete else "is written"
    by_split = ", ".join(f"{split} {count:,}" for split, count in done.samples.items())
    print(f"{done.folder} {state}: {done.tars:,} tars of {sum(done.samples.values()):,} samples ({by_split})")
    return 0
