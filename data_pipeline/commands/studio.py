"""`shotbench data studio`: render films in a virtual studio, as shards or as raw films, without a download."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from data_pipeline.commands.options import CORES, OUTPUT, RayAddress, Splits, WorkersOption
from lmms_eval_shotbench.commands.command import NOTHING_KEPT, About, one_command
from lmms_eval_shotbench.vocabulary import MediaKind

CONTENT, RAW = "Films", "Film files instead of shards"  # panels


def pictures_kept(params: Mapping[str, Any]) -> str:
    """What an interrupted command leaves behind."""
    if params["sheets"]:
        return NOTHING_KEPT
    made = "films" if params["raw"] else "shots"
    return f"{made} that are rendered are kept, and the same command continues with the others"


app, command = one_command(
    "studio",
    About(
        extra="data",
        kept=pictures_kept,
        examples=(
            "shotbench data studio --out shards/studio --films 10",
            "shotbench data studio --out shards/tiny --films 2 --splits test:1",
            "shotbench data studio --out studio --films 3 --raw --truth",
        ),
    ),
)


@command
def studio(
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Folder to write: shards; with --raw film files; with --sheets two pictures",
            rich_help_panel=OUTPUT,
        ),
    ],
    films: Annotated[
        int,
        typer.Option(
            "--films", metavar="N", help="Number of films; each has a shot of every term", rich_help_panel=CONTENT
        ),
    ] = 10,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            help="Seed of everything that is drawn at random in the films",
            rich_help_panel=CONTENT,
        ),
    ] = 0,
    first_film: Annotated[
        int,
        typer.Option(
            "--first-film",
            metavar="N",
            help="Number of the first film, counted from 0. To continue a set of 10 films with other films of the same "
            "seed, use --first-film 10 and another --out",
            rich_help_panel=CONTENT,
        ),
    ] = 0,
    shots_per_term: Annotated[
        int,
        typer.Option(
            "--shots-per-term",
            metavar="N",
            help="Number of shots of each term (such as close-up or pan left) per film",
            rich_help_panel=CONTENT,
        ),
    ] = 1,
    width: Annotated[
        int,
        typer.Option(
            "--width",
            metavar="PIXELS",
            help="Width of the 16:9 frames in pixels, a multiple of 32 and at least 64",
            rich_help_panel=CONTENT,
        ),
    ] = 320,
    splits: Splits = "",
    only: Annotated[
        Literal["stills", "clips"] | None,
        typer.Option(
            "--only",
            help="Make questions on stills only, or on clips only",
            show_default="both",
            rich_help_panel="Questions",
        ),
    ] = None,
    reasoning: Annotated[
        bool,
        typer.Option(
            "--reasoning",
            help="Add a reasoning chain of one sentence to each question, for `shotbench train cot-sft`",
            rich_help_panel="Questions",
        ),
    ] = False,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="Write film files, the annotation table annotations.csv, which `shotbench data films` reads, and "
            "truth.csv, what is true of every shot in every dimension, instead of shards",
            rich_help_panel=RAW,
        ),
    ] = False,
    truth: Annotated[
        bool,
        typer.Option(
            "--truth",
            help="With --raw: also write masks, depth and optical flow, one NumPy file truth/FILM/SHOT.npz a shot",
            rich_help_panel=RAW,
        ),
    ] = False,
    transitions: Annotated[
        Literal["cuts", "all"] | None,
        typer.Option(
            "--transitions",
            help="With --raw: transitions between shots: only hard cuts, or all kinds: about a tenth of the shots "
            "begin with a dissolve and a tenth with a fade through black, with their times in truth.csv",
            show_default="cuts",
            rich_help_panel=RAW,
        ),
    ] = None,
    sheets: Annotated[
        bool,
        typer.Option(
            "--sheets",
            help="Write only two contact sheets for inspection: studio_stills.jpg (a still of every term) and "
            "studio_moves.jpg (frames of every camera movement); only --out and --seed have an effect",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace shards of another source, or broken ones, that are in the folder --out; not valid with --raw",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    workers: WorkersOption = CORES,
    ray_address: RayAddress = "",
) -> int:
    """Render synthetic films with known labels in a virtual studio, as shards or as film files.

    Nothing is downloaded, and the same options give the same bytes.
    """
    if truth and not raw:
        raise ValueError("--truth is for raw films; add --raw, or leave it out")
    if transitions and not raw:
        raise ValueError("--transitions is for raw films; add --raw, or leave it out")
    if sheets:
        return _write_sheets(out, seed)
    from data_pipeline.questions.split_by_film import DEFAULT_SHARES, parse_shares
    from data_pipeline.studio_set import StudioSettings, studio_films, studio_shards
    from data_pipeline.workers import Workers

    shares = parse_shares(splits) if splits else DEFAULT_SHARES
    kind = MediaKind(only.removesuffix("s")) if only else None
    settings = StudioSettings(films, seed, shots_per_term, width, shares, kind, reasoning, first_film)
    if raw:
        if only or reasoning or splits or overwrite:
            raise ValueError(
                "--only, --reasoning, --splits and --overwrite are for shards; leave out --raw, or leave them out"
            )
        reachable = Workers.reachable(workers, ray_address)
        rows = studio_films(settings, out, reachable, truth=truth, transitions=transitions == "all")
        print(f"{out}: {films} films, {rows} rows in annotations.csv and truth.csv")
        return 0
    written = studio_shards(settings, out, Workers.reachable(workers, ray_address), overwrite=overwrite)
    questions = sum(sum(counts.values()) for counts in written.counts.values())
    print(
        f"{written.folder}: {questions} questions on {films} films" + " (complete already)" * written.already_complete
    )
    return 0


def _write_sheets(folder: Path, seed: int) -> int:
    """Write contact sheets for visual inspection: stills of every term, and frames of every camera movement."""
    from data_pipeline.studio.contact_sheet import write_contact_sheet
    from data_pipeline.studio.filmstrips import write_filmstrips

    folder.mkdir(parents=True, exist_ok=True)
    write_contact_sheet(folder / "studio_stills.jpg", seed)
    write_filmstrips(folder / "studio_moves.jpg", seed)
    print(f"{folder}: studio_stills.jpg, studio_moves.jpg")
    return 0
