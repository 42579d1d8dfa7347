"""`shotbench data leaks`: find stills and clips of shards in other shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from data_pipeline.commands.options import (
    CORES,
    OUTPUT,
    SELECTION,
    Overwrite,
    RayAddress,
    WorkersOption,
    local_folder,
)
from lmms_eval_shotbench.commands.command import About, one_command
from lmms_eval_shotbench.commands.options import output_file

app, command = one_command(
    "leaks",
    About(
        extra="data",
        several=("--against",),
        examples=(
            "shotbench data leaks shards/acam \\",
            "    --against shards/shotbench shards/camerabench",
            "shotbench data leaks shards/acam --against shards/shotbench --out shards/new",
        ),
    ),
)


@command
def leaks(
    shards: Annotated[
        str,
        typer.Argument(metavar="SHARDS", help="Shard folder, address or Hub id to check; a folder receives the report"),
    ],
    against: Annotated[
        list[str],
        typer.Option(
            "--against",
            metavar="SHARDS …",
            help="Shard folders, addresses or Hub ids in which the stills and clips are searched; one or more",
            rich_help_panel=SELECTION,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Shard folder to write without the questions on media that were found; SHARDS are then not changed. "
            "audit.json and rows.csv are about all questions, so they are not copied; audit the rest by "
            "`shotbench data audit`",
            parser=local_folder,
            show_default="the report is written into SHARDS",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="JSON file for all counts and pairs",
            show_default="not written",
            callback=output_file,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Overwrite = False,
    workers: WorkersOption = CORES,
    ray_address: RayAddress = "",
) -> int:
    """Find stills and clips of shards in other shards: the same, altered, mirrored, or cut from a longer clip.

    The counts become a section of the dataset card of SHARDS, all pairs the file leaks.json. Exits with status 1 if any
    are found and not left out by --out.
    """
    from data_pipeline.leaks.check_leaks import check_leaks, is_writable, write_without_leaks
    from data_pipeline.shards.full_disk import write_output
    from data_pipeline.workers import Workers

    pool = Workers.reachable(workers, ray_address)
    if out:
        written, found = write_without_leaks(shards, against, out, pool, overwrite)
        if not found:
            print(f"{out} was complete already; its README.md has the report")
            return 0
        kept = sum(sum(counts.values()) for counts in written.counts.values())
        destination = f"{out} is written: {kept:,} of {found.questions:,} questions"
    else:
        found = check_leaks(shards, against, pool)
        destination = f"The report is in {shards}: README.md has the counts, leaks.json all pairs"
        if not is_writable(shards):
            destination = f"{shards} is no folder that can be written to, so its card is not changed; see --report"
    if report:
        write_output(report, found.to_json())
    print(f"{found.to_markdown()}\n\n{destination}")
    return int(not out and bool(found.reasons()))
