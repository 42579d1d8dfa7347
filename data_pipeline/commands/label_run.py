"""`shotbench label`: films to a shot list with labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data_pipeline.commands.label_options import Ask, OfferNone, Repeats, SecondModel, SecondModelArgs, SecondMovement
from data_pipeline.commands.options import (
    CORES,
    CUTTING,
    OUTPUT,
    CuttingConfig,
    Detector,
    FlashFrames,
    RayAddress,
    ShotLimit,
    Timelines,
    WorkersOption,
)
from lmms_eval_shotbench import __version__
from lmms_eval_shotbench.commands.command import About, Invocation, one_command
from lmms_eval_shotbench.commands.options import ModelArgs, ModelType, Preset

if TYPE_CHECKING:
    from data_pipeline.label_films import LabelledFilms

SUBCOMMANDS = ("apply", "calibrate", "score")

LABELS = "Labels"  # panel


def labels_kept(params: Mapping[str, Any]) -> str:
    """What an interrupted command leaves behind."""
    return f"films that are cut and votes so far are kept in {params['out']}, and the same command continues from there"


app, command = one_command(
    "run",
    About(
        extra="label",
        kept=labels_kept,
        examples=(
            "shotbench label my_films/ --model shotvl --out labels \\",
            "    --model_args pretrained=$(shotbench tiny-model)",
            "shotbench label run trailer.mp4 --model shotvl --out labels/trailer \\",
            "    --model_args pretrained=Vchitect/ShotVL-3B \\",
            "    --calibration calibration.json --min-confidence 0.6",
            "shotbench label trailer.mp4 stills/ --preset internvl3-8b --out labels \\",
            "    --dimensions shot_size,camera_movement --limit 20 --batch_size 4",
            "shotbench label film.mov --shots cut.otio --model shotvl --out labels",
        ),
        samples={"Smallest table for --shots": ("media,start,end", "harbour.mp4,0:00:12.5,0:00:17")},
    ),
    pass_on="unknown",
    options_metavar="[OPTIONS] [OPTIONS OF LMMS-EVAL]",
)


@command
def label(
    context: typer.Context,
    films: Annotated[
        list[str],
        typer.Argument(
            metavar="FILM",
            help="Films, stills and folders, which are searched for both. They come before options of lmms-eval",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FOLDER", help="Folder for the labels and media", rich_help_panel=OUTPUT),
    ],
    model: ModelType = "",
    model_args: ModelArgs = "",
    preset: Preset = None,
    ask: Ask = "auto",
    second_model: SecondModel = "",
    second_model_args: SecondModelArgs = "",
    repeats: Repeats = None,
    offer_none: OfferNone = False,
    second_movement: SecondMovement = False,
    dimensions: Annotated[
        str,
        typer.Option(
            "--dimensions",
            metavar="NAMES",
            help="Dimensions to label, separated by commas, such as shot_size,camera_movement",
            show_default="all eight",
            rich_help_panel=LABELS,
        ),
    ] = "",
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            metavar="FILE",
            help="Calibration of the model's confidence, written by `shotbench label calibrate`",
            show_default="confidence is not calibrated",
            rich_help_panel=LABELS,
        ),
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            "--min-confidence",
            metavar="P",
            min=0.0,
            max=1.0,
            help="Confidence, from 0 to 1, below which a cell stays empty for a person to fill",
            show_default="that of the calibration, otherwise 0",
            rich_help_panel=LABELS,
        ),
    ] = None,
    shots: Annotated[
        Path | None,
        typer.Option(
            "--shots",
            metavar="FILE",
            help="Shots to label instead of detected ones: a table with the columns start and end (and media, the "
            "path of the film, if there are several), a scene list of PySceneDetect, an .otio file or an EDL",
            show_default="shots are detected",
            rich_help_panel=CUTTING,
        ),
    ] = None,
    detector: Detector = None,
    flash_frames: FlashFrames = None,
    config: CuttingConfig = None,
    films_folder: Annotated[
        Path | None,
        typer.Option(
            "--films",
            metavar="FOLDER",
            help="Folder to which the paths in the column media of shots.csv are relative",
            show_default="the deepest folder with all films",
            rich_help_panel=CUTTING,
        ),
    ] = None,
    limit: ShotLimit = 0,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Write labels.html", rich_help_panel=OUTPUT)] = True,
    timelines: Timelines = True,
    captions: Annotated[
        bool,
        typer.Option(
            "--captions/--no-captions",
            help="Write captions of stills and clips, for training generators",
            rich_help_panel=OUTPUT,
        ),
    ] = True,
    caption_template: Annotated[
        Path | None,
        typer.Option(
            "--caption-template",
            metavar="FILE",
            help="TOML file with the wording of captions",
            show_default="the one of this package, labelling/exports/captions.toml, which documents the form",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace labels of other films in the folder --out; without this option the command refuses to "
            "write there. Cells that a person has set are kept for the films that remain",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    workers: WorkersOption = CORES,
    ray_address: RayAddress = "",
) -> int:
    """Label films: find their shots, ask a model for the terms of every dimension, and write a shot list.

    Every option that is not listed here is passed on to lmms-eval, as by `shotbench eval`. The exit status is 1 if a
    film or a shot could not be cut or labelled, 2 if none could. The same command continues after an interruption.
    """
    from data_pipeline.commands.console import print_error
    from data_pipeline.films.cut_settings import CutSettings
    from data_pipeline.films.film_sources import NoFilms, find_films
    from data_pipeline.films.label_media import LABEL_DEFAULTS
    from data_pipeline.films.shot_list import ListedShots, read_shot_list
    from data_pipeline.label_films import LabelRequest, label_films
    from data_pipeline.workers import Workers
    from lmms_eval_shotbench.labelling.apply_corrections import lost_text
    from lmms_eval_shotbench.labelling.asking.askers import AskedModel, make_askers
    from lmms_eval_shotbench.labelling.asking.rounds import RoundSettings
    from lmms_eval_shotbench.labelling.deciding.calibration import read_calibration
    from lmms_eval_shotbench.labelling.deciding.decide import uncalibrated_slugs
    from lmms_eval_shotbench.labelling.exports.caption_template import read_caption_template
    from lmms_eval_shotbench.labelling.exports.timeline_otio import opentimelineio
    from lmms_eval_shotbench.labelling.page.write_page import PAGE
    from lmms_eval_shotbench.vocabulary import DIMENSIONS, dimension_named

    named, passed_on = split_options(films)
    if file := next((word for word in passed_on if word.startswith("-") and Path(word).exists()), ""):
        context.fail(f"{file} is an option; write ./{file} for the film of this name")
    if not named:
        context.fail(f"no film before {passed_on[0]}; write films before the options of lmms-eval")
    if not (model or preset):
        context.fail(
            "missing option --model, or --preset with the name of a known model; for a trial without a GPU: "
            "--model shotvl --model_args pretrained=$(shotbench tiny-model)"
        )
    if timelines:
        opentimelineio()  # missing libraries are reported before any work
    given = {"detector": detector, "flash_frames": flash_frames}
    given = {name: value for name, value in given.items() if value is not None}
    chosen = list(dict.fromkeys(dimension_named(name) for name in dimensions.split(",") if name.strip()))
    try:
        sources = find_films([Path(one) for one in named], films_folder, skipped=out)
    except NoFilms as error:
        similar = get_close_matches(named[0], SUBCOMMANDS, 1)
        raise NoFilms(f"{error}; or did you mean shotbench label {similar[0]}?" if similar else str(error)) from None
    listed = read_shot_list(shots, sources) if shots else ListedShots({}, [])
    for remark in listed.remarks:
        print_error(remark)
    calibrated = read_calibration(calibration) if calibration else None
    models = [AskedModel(model, model_args, preset or "", passed_on=passed_on)]
    if second_model:
        models.append(AskedModel(second_model, second_model_args, passed_on=passed_on))
    rounds = None
    if repeats or offer_none or second_movement:
        rounds = RoundSettings(repeats or RoundSettings.repeats, offer_none, second_movement)
    askers = make_askers(models, ask, settings=rounds, calibration=calibrated)
    invocation = context.find_object(Invocation) or Invocation()
    labelled = label_films(
        LabelRequest(
            sources,
            out,
            CutSettings.read(config, given, LABEL_DEFAULTS),
            chosen or DIMENSIONS,
            listed=listed.by_medium if shots else None,
            limit=limit,
            calibration=calibrated,
            min_confidence=min_confidence,
            workers=Workers.reachable(workers, ray_address),
            page=page,
            timelines=timelines,
            captions=read_caption_template(caption_template) if captions else None,
            overwrite=overwrite,
            run={"command": ["shotbench", *invocation.arguments], "version": __version__},
        ),
        askers,
    )
    for film in labelled.sheet.films:
        for defect in film.defects:
            print_error(f"{film.media}: {defect}")
    votes = (vote for row in labelled.sheet.shots for vote in row.votes)
    if calibrated and (slugs := uncalibrated_slugs(votes, calibrated)):
        print_error(
            f"{calibration} does not apply to {', '.join(slugs)}: it is of {', '.join(calibrated.sources)}, and asked "
            f"were {', '.join(labelled.sheet.run['models'])}; confidence there is as the model gives it"
        )
    for replaced in labelled.replaced:
        print_error(str(replaced))
    for correction in labelled.lost:
        print_error(f"lost: {lost_text(correction)}")
    if labelled.removed:
        print_error(f"removed, because they were of an earlier run: {', '.join(labelled.removed)}")
    for shot in labelled.shots_without_votes:
        print_error(f"{shot.shot_id}: not labelled{f': {shot.remark}' if shot.remark else ''}")
    print(summary_of(labelled))
    print(f"written to {out}{f'; open {out / PAGE}' if page else ''}")
    cut = Counter(row.shot.film_id for row in labelled.sheet.shots)
    not_cut = not limit and any(len(listed.by_medium.get(one.media, ())) > cut[one.film_id] for one in sources)
    return int(bool(not_cut or labelled.films_without_shots or labelled.shots_without_votes))


def split_options(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The films, and the options of lmms-eval with their values: everything from the first unknown option on."""
    first = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    return list(words[:first]), list(words[first:])


def summary_of(labelled: LabelledFilms) -> str:
    """How many films and shots are labelled, and how many cells of each status there are."""
    sheet = labelled.sheet
    counts = Counter(cell.status for row in sheet.shots for cell in row.cells.values())
    statuses = ", ".join(f"{count:,} {status}" for status, count in counts.most_common())
    films = len(sheet.films) - len(labelled.films_without_shots)
    return f"films: {films:,} of {len(sheet.films):,}; shots: {len(sheet.shots):,}; labels: {statuses}"
