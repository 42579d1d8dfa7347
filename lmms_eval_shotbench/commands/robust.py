"""`shotbench robust`: consistency and accuracy on variants of the questions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command
from lmms_eval_shotbench.commands.options import FormatOption, OutFile, RunData, RunSplit, StoredProtocol
from lmms_eval_shotbench.commands.output import write_or_print

app, command = one_command(
    "robust",
    About(
        examples=(
            "shotbench robust results/plain results/mirrored results/reversed",
            "shotbench robust results/circular",
        )
    ),
)


@command
def robust(
    original: Annotated[
        Path,
        typer.Argument(
            metavar="ORIGINAL",
            help="Run on the unchanged questions: folder written by `shotbench eval`, or JSON file written by "
            "`shotbench score --format json`. A run of shotbench_circular, which includes the unchanged questions, may "
            "be the only argument",
        ),
    ],
    variants: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="VARIANT",
            help="Runs of the same model on variants of the questions, one of each variant: of the tasks "
            "shotbench_blind, shotbench_circular, shotbench_mirrored, shotbench_reversed or refineshot",
            show_default="ORIGINAL, if it is circular",
        ),
    ] = None,
    data: RunData = None,
    split: RunSplit = None,
    protocol: StoredProtocol = "strict",
    format: FormatOption = "table",
    out: OutFile = None,
) -> int:
    """Measure robustness: whether a model still answers correctly when the questions are changed consistently.

    An example: in a mirrored clip, the right answer "pan left" becomes "pan right".
    """
    from lmms_eval_shotbench.runs.robust import FORMATS, own_original, read_originals, scores_of_variants
    from lmms_eval_shotbench.runs.stored_runs import read_run

    unchanged = read_run(original, protocol)
    questions = read_originals(unchanged, data, split)
    changed = [read_run(path, protocol) for path in variants or ()]
    if not changed:
        unchanged, changed = own_original(questions, unchanged), [unchanged]
    write_or_print(FORMATS[format](scores_of_variants(questions, unchanged, changed)), out)
    return 0
