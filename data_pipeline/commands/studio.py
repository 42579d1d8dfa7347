"""`shotbench data studio`: render films in a virtual studio, as shards or as raw films, without a download."""

from __future__ import annotations

import argparse
from pathlib import Path

from data_pipeline.workers import Workers
from lmms_eval_shotbench.vocabulary import MediaKind


def add(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    step = steps.add_parser("studio", help="shoot synthetic films: no film, no download")
    step.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder to write: shards, or films")
    step.add_argument("--films", type=int, default=10, help="how many (default: 10)")
    step.add_argument("--seed", type=int, default=0, help="another seed shoots other films (default: 0)")
    step.add_argument("--first-film", type=int, default=0, metavar="N", help="number of the first film (default: 0)")
    step.add_argument("--shots-per-term", type=int, default=1, help="in each film (default: 1)")
    step.add_argument("--width", type=int, default=320, help="of pictures, a multiple of 32 (default: 320)")
    step.add_argument("--splits", default="", help="shares of films, e.g. test:1 (default: sft:6,grpo:2,dev:1,test:1)")
    step.add_argument("--only", choices=("stills", "clips"), help="shoot no others; with shards")
    step.add_argument("--reasoning", action="store_true", help="give each question a chain of thought of one sentence")
    step.add_argument("--raw", action="store_true", help="films and an annotation table instead of shards")
    step.add_argument("--truth", action="store_true", help="with --raw: masks, depth and optical flow as well")
    step.add_argument("--sheets", action="store_true", help="contact sheets of stills and clips in DIR, nothing else")
    step.add_argument("--overwrite", action="store_true", help="replace shards that are at DIR")
    Workers.add_arguments(step)
    step.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render and print a summary."""
    if args.truth and not args.raw:
        raise ValueError("--truth is for raw films; add --raw, or leave it out")
    if args.sheets:
        return _write_sheets(args.out, args.seed)
    from data_pipeline.questions.split_by_film import DEFAULT_SHARES, parse_shares
    from data_pipeline.studio_set import StudioSettings, studio_films, studio_shards

    shares = parse_shares(args.splits) if args.splits else DEFAULT_SHARES
    kind = MediaKind(args.only.removesuffix("s")) if args.only else None
    settings = StudioSettings(
        args.films, args.seed, args.shots_per_term, args.width, shares, kind, args.reasoning, args.first_film
    )
    if args.raw:
        if args.only or args.reasoning or args.splits or args.overwrite:
            raise ValueError(
                "--only, --reasoning, --splits and --overwrite are for shards; leave out --raw, or leave them out"
            )
        rows = studio_films(settings, args.out, Workers.of(args), truth=args.truth)
        print(f"{args.out}: {args.films} films, {rows} rows in annotations.csv")
        return 0
    written = studio_shards(settings, args.out, Workers.of(args), overwrite=args.overwrite)
    questions = sum(sum(counts.values()) for counts in written.counts.values())
    print(
        f"{written.folder}: {questions} questions on {args.films} films"
        + " (complete already)" * written.already_complete
    )
    return 0


def _write_sheets(folder: Path, seed: int) -> int:
    """Write contact sheets for visual inspection: stills of every term, and frames of every camera movement."""
    from data_pipeline.studio.contact_sheet import write_sheet
    from data_pipeline.studio.filmstrips import write_filmstrips

    folder.mkdir(parents=True, exist_ok=True)
    write_sheet(folder / "studio_stills.jpg", seed)
    write_filmstrips(folder / "studio_moves.jpg", seed)
    print(f"{folder}: studio_stills.jpg, studio_moves.jpg")
    return 0
