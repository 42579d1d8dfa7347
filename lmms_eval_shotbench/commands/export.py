"""`shotbench export`: the results of a run in a format of others."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.commands.command import About, one_command
from lmms_eval_shotbench.commands.options import INPUT, OUTPUT, ReasoningTags, RunData, RunSplit, StoredProtocol

# The same values as `FORMATS`, which are not imported to print help.
ExportFormat = Literal["hub", "every-eval-ever", "inspect"]
Relationship = Literal["first_party", "third_party", "collaborative", "other"]
STATED = "Stated by you"  # panel

app, command = one_command(
    "export",
    About(
        extra="report",
        examples=("shotbench export results/shotvl-3b --format hub --model Vchitect/ShotVL-3B --out model-repository",),
    ),
)


def _date(text: str | None) -> str | None:
    if text is not None:
        try:
            datetime.fromisoformat(text)
        except ValueError:
            raise typer.BadParameter(f"{text} is no date; give one such as 2026-11-30") from None
    return text


@command
def export(
    run: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Folder written by `shotbench eval`, a JSON file written by `shotbench score --format json`, or two "
            "arguments QUESTIONS RESPONSES as for `shotbench score`",
        ),
    ],
    format: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="Format: hub (.eval_results/*.yaml of the model's repository), every-eval-ever (results and samples "
            "for that data set), inspect (a log of Inspect)",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Folder for the files, such as a local copy of the model's repository",
            show_default="print a single file of text",
            file_okay=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    data: RunData = None,
    split: RunSplit = None,
    protocol: StoredProtocol = "strict",
    allow_deviations: Annotated[
        bool,
        typer.Option(
            "--allow-deviations",
            help="Also export what is not a result of the complete benchmark (a variant, a part of the questions, "
            "questions without a response); the notes state it",
            rich_help_panel=INPUT,
        ),
    ] = False,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="ORG/MODEL",
            help="Name of the model, as on the Hub",
            show_default="the recorded checkpoint, if it is no local folder",
            rich_help_panel=STATED,
        ),
    ] = "",
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            metavar="ORG/NAME",
            help="Id of the benchmark on the Hub",
            show_default="Vchitect/ShotBench for its questions, otherwise required",
            rich_help_panel=STATED,
        ),
    ] = "",
    dataset_revision: Annotated[
        str,
        typer.Option(
            "--dataset-revision",
            metavar="COMMIT",
            help="Commit of the benchmark's repository on the Hub",
            show_default="none",
            rich_help_panel=STATED,
        ),
    ] = "",
    date: Annotated[
        str | None,
        typer.Option(
            "--date",
            metavar="DATE",
            help="Date of the evaluation, such as 2026-11-30",
            show_default="the recorded one",
            callback=_date,
            rich_help_panel=STATED,
        ),
    ] = None,
    source_url: Annotated[
        str,
        typer.Option(
            "--source-url",
            metavar="URL",
            help="Where the evaluation can be looked up",
            show_default="none",
            rich_help_panel=STATED,
        ),
    ] = "",
    source_name: Annotated[
        str,
        typer.Option(
            "--source-name",
            metavar="NAME",
            help="Name of what --source-url shows",
            show_default="none",
            rich_help_panel=STATED,
        ),
    ] = "",
    organization: Annotated[
        str,
        typer.Option(
            "--organization",
            metavar="NAME",
            help="Organisation that evaluated",
            show_default="none",
            rich_help_panel=STATED,
        ),
    ] = "",
    relationship: Annotated[
        Relationship | None,
        typer.Option(
            "--relationship",
            help="Of that organisation to the model, for every-eval-ever: first_party if the model is its own",
            show_default="none",
            rich_help_panel=STATED,
        ),
    ] = None,
    weights: Annotated[
        Literal["open", "closed"] | None,
        typer.Option(
            "--weights",
            help="Whether anybody can obtain the model's weights, for every-eval-ever",
            show_default="unknown",
            rich_help_panel=STATED,
        ),
    ] = None,
    reasoning_tags: ReasoningTags = "",
) -> int:
    """Write the results of a run in a format of others.

    Only results of the complete benchmark are exported, unless --allow-deviations is given. What a run does not record
    is stated by options; nothing is guessed.
    """
    from lmms_eval_shotbench.export.exported_run import ExportRequest, read_exported_run
    from lmms_eval_shotbench.export.formats import exported_files
    from lmms_eval_shotbench.grading.added_tags import parse_reasoning_tags
    from lmms_eval_shotbench.runs.scores_schema import BadRun

    request = ExportRequest(
        model=model,
        dataset=dataset,
        dataset_revision=dataset_revision,
        protocol=protocol,
        date=date or "",
        source_url=source_url,
        source_name=source_name,
        organization=organization,
        relationship=relationship or "",
        weights=weights or "",
        allow_deviations=allow_deviations,
    )
    found = read_exported_run(run, request, data, split, parse_reasoning_tags(reasoning_tags))
    files = exported_files(found, format)
    if out:
        for name, content in files.items():
            write_atomic(out / name, content)
            print(f"{format}: {out / name}")
    elif len(files) == 1 and isinstance(content := next(iter(files.values())), str):
        print(content)
    else:
        raise BadRun(f"{format} is not a single file of text; give a folder for its files with --out")
    return 0
