"""`shotbench label calibrate`: fit labels and their confidence to films whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from data_pipeline.commands.label_score import LABELS_HELP, TRUTH_HELP
from data_pipeline.commands.options import OUTPUT
from lmms_eval_shotbench.commands.command import About, one_command
from lmms_eval_shotbench.commands.options import output_file

app, command = one_command(
    "calibrate",
    About(
        extra="label",
        several=("--truth",),
        examples=(
            "shotbench label calibrate labels/studio --truth raw/truth.csv \\",
            "    --out calibration.json",
            "shotbench label calibrate labels/studio labels/mine \\",
            "    --truth raw/truth.csv mine.csv --out calibration.json",
        ),
    ),
)


@command
def calibrate(
    labels: Annotated[
        list[Path], typer.Argument(metavar="LABELS", help=f"{LABELS_HELP}, one or more; their films are pooled")
    ],
    truth: Annotated[
        list[Path],
        typer.Option("--truth", metavar="FILE …", help=f"{TRUTH_HELP}; one for all LABELS, or one for each of them"),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="JSON file to write: the calibration, for `shotbench label --calibration`, with its report",
            callback=output_file,
            rich_help_panel=OUTPUT,
        ),
    ],
    target: Annotated[
        float,
        typer.Option(
            "--target",
            metavar="SHARE",
            help="Accuracy, 0 to 1, for which the threshold of each dimension is chosen",
            min=0.0,
            max=1.0,
        ),
    ] = 0.9,
    max_false_labels: Annotated[
        float,
        typer.Option(
            "--max-false-labels",
            metavar="SHARE",
            help="Share, 0 to 1, of shots without a term of the dimension that may get a label on films held out; on "
            "new films it varies around this",
            min=0.0,
            max=1.0,
        ),
    ] = 0.03,
    balance: Annotated[
        float,
        typer.Option(
            "--balance",
            metavar="B",
            help="Weight of rare terms, 0 to 1: with 0 most labels are right, but rare terms are hardly ever named; "
            "with 1 all terms count the same, however rare",
            min=0.0,
            max=1.0,
        ),
    ] = 0.5,
) -> int:
    """Fit labels and their confidence to films whose truth is known.

    For each dimension, model and way of asking it learns which terms the model takes for which, fits the probability
    that a label is right and that no term is true of a shot, and finds the best way of asking. All
    printed figures are of cross-validation over films. It takes ten films or more, similar to those that will be
    labelled: the frequency of terms is learned, too. With few films, fewer parameters are fitted.
    """
    from lmms_eval_shotbench.labelling.deciding.fit_calibration import CalibrationSettings, fit_calibration
    from lmms_eval_shotbench.labelling.scores.matched_folders import read_matched_shots
    from lmms_eval_shotbench.labelling.scores.score_text import calibration_text

    calibration = fit_calibration(
        read_matched_shots(labels, truth), CalibrationSettings(target, max_false_labels, balance)
    )
    calibration.write(out)
    print(calibration_text(calibration))
    return 0
