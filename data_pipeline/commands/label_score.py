"""`shotbench label score`: score a shot list against a table of what is true."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command, print_message
from lmms_eval_shotbench.commands.options import FormatOption, OutFile
from lmms_eval_shotbench.commands.output import write_or_print

LABELS_HELP = "Folder written by `shotbench label`"
TRUTH_HELP = (
    "Table of what is true (CSV): columns film_id, media, start, end (seconds or clock times) and one for each "
    "annotated dimension, with terms, `none` if no term is true, or nothing if not annotated; `shotbench data studio "
    "--raw` writes one, truth.csv"
)

app, command = one_command(
    "score",
    About(
        extra="label",
        examples=(
            "shotbench label score labels/mine --truth truth.csv",
            "shotbench label score labels/mine --truth truth.csv \\",
            "    --format json --out labels/mine/scores.json",
        ),
    ),
)


@command
def score(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help=LABELS_HELP)],
    truth: Annotated[Path, typer.Option("--truth", metavar="FILE", help=TRUTH_HELP)],
    tolerance: Annotated[
        int,
        typer.Option(
            "--tolerance", metavar="FRAMES", help="Number of frames by which a detected cut may be off", min=0
        ),
    ] = 1,
    format: FormatOption = "table",
    out: OutFile = None,
) -> int:
    """Score a shot list: cuts, labels of each dimension, labels where there should be none, and confidence.

    A label is right if at least one of its terms is true and none is certainly wrong. The page of LABELS shows the
    scores that are in its folder as scores.json.
    """
    import json

    from lmms_eval_shotbench.labelling.scores.score import score_labels
    from lmms_eval_shotbench.labelling.scores.score_text import scores_text
    from lmms_eval_shotbench.labelling.shot_sheet import read_sheet
    from lmms_eval_shotbench.labelling.truth import read_truth
    from lmms_eval_shotbench.runs.formatting import first_few

    scores = score_labels(read_sheet(labels, votes=False), read_truth(truth), tolerance)
    write_or_print(json.dumps(scores, indent=1, ensure_ascii=False) if format == "json" else scores_text(scores), out)
    if others := scores["films_without_labels"]:
        print_message(f"{truth} also has {len(others)} films that are not labelled: {first_few(others)}")
    return 0
