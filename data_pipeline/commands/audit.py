"""`shotbench data audit`: audit a shard folder before it is used for training or evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from data_pipeline.commands.console import print_error
from data_pipeline.commands.options import (
    CORES,
    OUTPUT,
    QUALITY,
    Against,
    Gate,
    RayAddress,
    WorkersOption,
    margin_of,
)
from lmms_eval_shotbench.commands.command import About, one_command
from lmms_eval_shotbench.commands.options import output_file

app, command = one_command(
    "audit",
    About(
        extra="data",
        examples=("shotbench data audit shards/mine --against shards/shotbench",),
    ),
)


@command
def audit(
    shards: Annotated[str, typer.Argument(metavar="SHARDS", help="Shard folder or Hub id to check")],
    against: Against = None,
    gate: Gate = None,
    no_gate: Annotated[
        bool,
        typer.Option(
            "--no-gate", help="Report the accuracy of guessing, but do not fail because of it", rich_help_panel=QUALITY
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="JSON file for all figures of the audit",
            show_default="not written",
            callback=output_file,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    workers: WorkersOption = CORES,
    ray_address: RayAddress = "",
) -> int:
    """Check shards before they are used: media, accuracy of guessing, duplicates, films in two splits, benchmark media.

    Exits with status 1 if a check fails.
    """
    from data_pipeline.checks.audit import audit_shards
    from data_pipeline.shards.full_disk import write_output
    from data_pipeline.workers import Workers

    found = audit_shards(shards, against or (), margin_of(gate, no_gate), Workers.reachable(workers, ray_address))
    if report:
        write_output(report, found.to_json())
    print(f"{shards}: {found.questions:,} questions on {found.media:,} media\n")
    print(found.to_markdown().replace("All figures are in `audit.json`.", "").strip())
    for failure in found.failures:
        print_error(failure)
    return int(bool(found.failures))
