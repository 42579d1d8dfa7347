"""`shotbench data shots`: films to an annotation table to fill."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from data_pipeline.commands.console import print_error
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
from lmms_eval_shotbench.commands.command import About, one_command
from lmms_eval_shotbench.commands.options import output_file


def shots_kept(params: Mapping[str, Any]) -> str:
    """What an interrupted command leaves behind."""
    out: Path = params["out"]
    return f"films that are cut are kept in {out.with_name(f'{out.stem}_shots')}, and the same command continues there"


app, command = one_command(
    "shots",
    About(
        extra="data",
        kept=shots_kept,
        examples=(
            "shotbench data shots my_films/ --out shots.csv",
            "shotbench data shots trailer.mp4 --detector histogram --out trailer.csv",
            "shotbench data films my_films/ --table shots.csv --out shards/mine",
        ),
    ),
)


@command
def write_shots(
    films: Annotated[
        list[Path],
        typer.Argument(metavar="FILM", help="Films, stills and folders, which are searched for both"),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Table to write, as CSV: one row per shot, with empty columns for its labels. Key frames, a page "
            "with them and timelines are written to the folder NAME_shots beside it",
            callback=output_file,
            rich_help_panel=OUTPUT,
        ),
    ],
    detector: Detector = None,
    flash_frames: FlashFrames = None,
    config: CuttingConfig = None,
    films_folder: Annotated[
        Path | None,
        typer.Option(
            "--films",
            metavar="FOLDER",
            help="Folder to which the paths in the column media are relative: the FILMS of `shotbench data films`",
            show_default="the folder that is given, or the deepest one with all films",
            rich_help_panel=CUTTING,
        ),
    ] = None,
    limit: ShotLimit = 0,
    timelines: Timelines = True,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace the table, also if a person has filled it; without this option the command refuses to",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    workers: WorkersOption = CORES,
    ray_address: RayAddress = "",
) -> int:
    """Find the shots of films and write a table to fill, one row per shot, with a page of their key frames.

    The exit status is 1 if a film could not be cut. The same command continues after an interruption.
    """
    from data_pipeline.films.cut_settings import CutSettings
    from data_pipeline.films.film_sources import find_films
    from data_pipeline.find_shots import PAGE, SHOT_DEFAULTS, ShotRequest, find_shots, found_shots_folder
    from data_pipeline.workers import Workers
    from lmms_eval_shotbench.labelling.exports.timeline_otio import opentimelineio

    if timelines:
        opentimelineio()  # missing libraries are reported before any work
    given = {"detector": detector, "flash_frames": flash_frames}
    settings = CutSettings.read(
        config, {name: value for name, value in given.items() if value is not None}, SHOT_DEFAULTS
    )
    if films_folder is None and len(films) == 1 and films[0].is_dir():
        films_folder = films[0]
    request = ShotRequest(
        find_films(films, films_folder, skipped=found_shots_folder(out)),
        out,
        settings,
        limit,
        Workers.reachable(workers, ray_address),
        timelines=timelines,
        overwrite=overwrite,
    )
    cut = find_shots(request)
    for film in cut:
        for defect in film.facts.defects:
            print_error(f"{film.facts.media}: {defect}")
    with_shots = sum(bool(film.shots) for film in cut)
    print(f"films: {with_shots:,} of {len(cut):,}; shots: {sum(len(film.shots) for film in cut):,}")
    print(f"{out} is written; the key frames are on {found_shots_folder(out) / PAGE}")
    return int(any(not film.shots for film in cut))
