"""`shotbench data push`: push a finished shard folder to the Hub, another folder or a URL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command

HUB = "On the Hub"  # panel

app, command = one_command(
    "push",
    About(
        extra="data",
        kept="files that were sent completely are kept, and the same command sends only the others; the shards at "
        "{target} are not usable until then",
        examples=(
            "shotbench data push shards/mine ORG/NAME --private",
            "shotbench data push shards/mine ./backup/mine",
            "shotbench data push shards/mine s3://bucket/shards/mine",
        ),
    ),
)


@command
def push_shards(
    shards: Annotated[Path, typer.Argument(metavar="SHARDS", help="Shard folder to send")],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="Target: ORG/NAME for a dataset on the Hugging Face Hub (log in with `hf auth login`), ./FOLDER, or a "
            "URL such as s3://bucket/path",
        ),
    ],
    private: Annotated[
        bool,
        typer.Option(
            "--private",
            help="Create a private dataset; if it exists already, send nothing unless it is private",
            rich_help_panel=HUB,
        ),
    ] = False,
    revision: Annotated[
        str,
        typer.Option(
            "--revision", metavar="BRANCH", help="Branch to send to", show_default="main", rich_help_panel=HUB
        ),
    ] = "",
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace other shards in the folder or at the URL; without this option the command refuses to. On "
            "the Hub they are always replaced, and stay in the history",
        ),
    ] = False,
    ignore_viewer: Annotated[
        bool,
        typer.Option(
            "--ignore-viewer",
            help="Send shards that the Hub's dataset viewer cannot show; without this option the command refuses to",
            rich_help_panel=HUB,
        ),
    ] = False,
    i_have_the_rights: Annotated[
        bool,
        typer.Option(
            "--i-have-the-rights",
            help="Confirm that you have the right to publish shards whose licence does not permit it; required to send "
            "such shards to a public dataset",
            rich_help_panel=HUB,
        ),
    ] = False,
) -> int:
    """Copy finished shards to the Hugging Face Hub, a folder or a URL, and verify the copy.

    Files that are there already are not sent again.
    """
    from data_pipeline.shards.full_disk import readable_bytes
    from data_pipeline.shards.push import push

    done = push(
        shards,
        target,
        private=private,
        revision=revision,
        overwrite=overwrite,
        have_the_rights=i_have_the_rights,
        ignore_viewer=ignore_viewer,
    )
    print(
        f"{done.target}: {done.sent_files} files sent ({readable_bytes(done.sent_bytes)}), "
        f"{done.skipped_files} were there"
    )
    return 0
