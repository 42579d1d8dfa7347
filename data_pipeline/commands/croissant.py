"""`shotbench data croissant`: add metadata in Croissant to a shard folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command

app, command = one_command(
    "croissant",
    About(
        extra="data",
        kept="the shards in {shards} are as before, and the same command writes the file",
        examples=(
            "shotbench data croissant shards/mine --url https://example.org/shots",
            "shotbench data push shards/mine s3://bucket/shards/mine",
        ),
    ),
)


@command
def add_croissant_file(
    shards: Annotated[Path, typer.Argument(metavar="SHARDS", help="Local shard folder")],
    url: Annotated[
        str,
        typer.Option("--url", metavar="URL", help="Address at which the dataset is published", show_default="left out"),
    ] = "",
    cite_as: Annotated[
        str,
        typer.Option(
            "--cite-as", metavar="TEXT", help="Citation of the dataset, BibTeX or text", show_default="left out"
        ),
    ] = "",
) -> int:
    """Add croissant.json to a shard folder: its metadata in Croissant, for readers outside the Hub.

    For a public dataset the Hub writes it itself.
    """
    from data_pipeline.shards.croissant import add_croissant

    print(f"{add_croissant(shards, url, cite_as)} is written")
    return 0
