"""`shotbench export`: the results of a run for the Hub, a model card, Every Eval Ever or Inspect."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from lmms_eval_shotbench.commands.command import About, one_command
from lmms_eval_shotbench.commands.options import INPUT, OUTPUT, ReasoningTags, RunData, RunSplit, StoredProtocol

# The same values as `FORMATS`, which are not imported to print help.
ExportFormat = Literal["hub", "model-card", "every-eval-ever", "inspect"]
Relationship = Literal["first_party", "third_party", "collaborative", "other"]
STATED = "Stated by you"  # panel

app, command = one_command(
    "export",
    About(
        extra="export",
        examples=(
            "shotbench export results/shotvl-3b --format hub",
            "shotbench export results/shotvl-3b --format model-card --card README.md",
            "shotbench export results/ours --format hub --push our-lab/our-model",
            "shotbench export results/shotvl-3b --format every-eval-ever \\",
            "    --organization 'Our lab' --relationship third_party \\",
            "    --out results/every_eval_ever",
            "shotbench export results/shotvl-3b --format inspect --out results/logs",
        ),
    ),
)


def _date(text: str) -> str:
    if text:
        try:
            datetime.fromisoformat(text)
        except ValueError:
            raise typer.BadParameter(f"{text} is no date; give one such as 2026-11-30") from None
    return text


def _address(text: str) -> str:
    if text and not re.fullmatch(r"https?://[^\s<>]+", text):
        raise typer.BadParameter(f"{text} is no address; give one such as https://example.org/results")
    return text


def _hub_id(text: str) -> str:
    if text and not re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        raise typer.BadParameter(f"{text} is no id of the Hub; give ORG/NAME")
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
            help="Format. hub: .eval_results/*.yaml, which the Hub shows on the model's page; model-card: a section "
            "and metadata of README.md; every-eval-ever: results and samples for that data set; inspect: a log for "
            "Inspect (inspect.aisi.org.uk)",
            rich_help_panel=OUTPUT,
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
    card: Annotated[
        Path | None,
        typer.Option(
            "--card",
            metavar="FILE",
            help="Model card to update, for --format model-card: the section of these results and their entries in the "
            "metadata; all else stays as it is",
            show_default="a new card",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    push: Annotated[
        str,
        typer.Option(
            "--push",
            metavar="ORG/MODEL",
            help="Open a pull request with the files at this model on the Hub, unless it has them or the same one is "
            "open; requires a token (`hf auth login`)",
            show_default="nothing is sent",
            callback=_hub_id,
            rich_help_panel=OUTPUT,
        ),
    ] = "",
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
            show_default="that of --push, otherwise the recorded checkpoint if it is no local folder",
            rich_help_panel=STATED,
        ),
    ] = "",
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            metavar="ORG/NAME",
            callback=_hub_id,
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
            show_default="left out",
            rich_help_panel=STATED,
        ),
    ] = "",
    date: Annotated[
        str,
        typer.Option(
            "--date",
            metavar="DATE",
            help="Date of the evaluation, such as 2026-11-30",
            show_default="the recorded one",
            callback=_date,
            rich_help_panel=STATED,
        ),
    ] = "",
    source_url: Annotated[
        str,
        typer.Option(
            "--source-url",
            metavar="URL",
            callback=_address,
            help="Where the evaluation can be looked up",
            show_default="left out",
            rich_help_panel=STATED,
        ),
    ] = "",
    source_name: Annotated[
        str,
        typer.Option(
            "--source-name",
            metavar="NAME",
            help="Name of what --source-url shows",
            show_default="left out",
            rich_help_panel=STATED,
        ),
    ] = "",
    organization: Annotated[
        str,
        typer.Option(
            "--organization",
            metavar="NAME",
            help="Organisation that evaluated",
            show_default="left out; required for every-eval-ever",
            rich_help_panel=STATED,
        ),
    ] = "",
    relationship: Annotated[
        Relationship | None,
        typer.Option(
            "--relationship",
            help="Relationship of that organisation to the model, for every-eval-ever: first_party if the model is "
            "its own",
            show_default="required for every-eval-ever",
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
    """Write the results of a run for the Hub, a model card, Every Eval Ever or Inspect.

    Only results of the complete benchmark are exported, unless --allow-deviations is given. What a run does not record
    is stated by options; nothing is guessed.
    """
    from lmms_eval_shotbench.export.destination import Destination, export_run
    from lmms_eval_shotbench.export.exported_run import ExportRequest
    from lmms_eval_shotbench.grading.added_tags import parse_reasoning_tags

    request = ExportRequest(
        model=model,
        dataset=dataset,
        dataset_revision=dataset_revision,
        protocol=protocol,
        date=date,
        source_url=source_url,
        source_name=source_name,
        organization=organization,
        relationship=relationship or "",
        weights=weights or "",
        allow_deviations=allow_deviations,
    )
    tags = parse_reasoning_tags(reasoning_tags)
    print(export_run(run, format, request, Destination(out, card, push), data, split, tags).rstrip("\n"))
    return 0
