"""`shotbench data films`: make shards from your own films and an annotation table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from data_pipeline.commands.console import print_error
from data_pipeline.commands.options import (
    CORES,
    CUTTING,
    OUTPUT,
    QUALITY,
    SELECTION,
    Against,
    CuttingConfig,
    Detector,
    FlashFrames,
    Gate,
    Overwrite,
    RayAddress,
    ReportFile,
    Splits,
    WorkersOption,
    margin_of,
)
from data_pipeline.commands.printed_defects import print_defects, print_outcomes
from data_pipeline.defects import Defect
from lmms_eval_shotbench.commands.command import NOTHING_KEPT, About, one_command


def films_kept(params: Mapping[str, Any]) -> str:
    """What an interrupted command leaves behind."""
    from lmms_eval_shotbench.remote_path import location

    if params["out"] is None:
        return NOTHING_KEPT
    out = location(params["out"])
    work = out.with_name(f".{out.name}.work")
    return f"the films that are cut are kept in {work}, and the same command continues with the others"


app, command = one_command(
    "films",
    About(
        extra="data",
        kept=films_kept,
        several=("--ignore-columns", "--only-source"),
        examples=(
            "shotbench data films my_films/ --table annotations.csv --check",
            "shotbench data films my_films/ --table annotations.csv --out shards/mine \\",
            "    --against shards/shotbench --licence cc-by-4.0",
            "shotbench data films my_films/ --table annotations.csv --out shards/test \\",
            "    --splits test:1",
            "shotbench data films my_films/ --table labels/mine/shots.csv \\",
            "    --only-source person --out shards/corrected",
            "shotbench data films s3://bucket/films --table s3://bucket/table.csv \\",
            "    --out s3://bucket/shards --ray-address auto --workers 64",
        ),
        samples={
            "Smallest annotation table": (
                "film_id,media,start,end,shot_size,camera_movement",
                "harbour,harbour.mp4,0:00:12.5,0:00:17,MCU,Push in",
            ),
            "Lines of a file for --aliases": ("walk and talk = camera movement: Tracking", "handheld = keep"),
            "Line of a file for --config": ("shortest_clip_seconds = 1.0",),
        },
    ),
)


@command
def make_films(
    films: Annotated[
        str,
        typer.Argument(
            metavar="FILMS",
            help="Folder with the films, trailers, clips and stills that the table lists, also in an object store: "
            "s3://BUCKET/FOLDER",
        ),
    ],
    table: Annotated[
        str,
        typer.Option(
            "--table",
            metavar="FILE",
            help="Annotation table: CSV, JSON lines or Parquet, one row per shot, also in an object store; all columns "
            "are described in docs/own_film.md",
            rich_help_panel=CUTTING,
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Shard folder to write, also in an object store",
            show_default="required without --check",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Overwrite = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Read the table and the films and report what is wrong with them, without cutting; the exit status "
            "is 1 if a row is faulty; rows that are not labelled yet are only counted",
            rich_help_panel=CUTTING,
        ),
    ] = False,
    ignore_columns: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore-columns",
            metavar="NAME",
            help="Columns of the table that are not read, though they look like times, paths or labels, or have the "
            "name of a column that would be read; several names may follow",
            show_default="every column is read",
            rich_help_panel=CUTTING,
        ),
    ] = None,
    aliases: Annotated[
        Path | None,
        typer.Option(
            "--aliases",
            metavar="FILE",
            help="File of your own words for terms, one per line: WORDS = DIMENSION: TERM, or WORDS = keep for words "
            "about which nothing is asked; see docs/own_film.md",
            show_default="only the built-in spellings",
            rich_help_panel=CUTTING,
        ),
    ] = None,
    only_source: Annotated[
        list[str] | None,
        typer.Option(
            "--only-source",
            metavar="NAME",
            help="Source of the labels that count, as in the columns shot_size_source and so on: with person, of a "
            "table of `shotbench label`, only what a person has corrected or confirmed. Labels of other sources are "
            "left out; several names may follow",
            show_default="all sources",
            rich_help_panel=SELECTION,
        ),
    ] = None,
    config: CuttingConfig = None,
    detector: Detector = None,
    flash_frames: FlashFrames = None,
    splits: Splits = "",
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            help="Seed of the random draws: films to splits, wrong options, order of options",
            rich_help_panel=SELECTION,
        ),
    ] = 0,
    options: Annotated[
        int,
        typer.Option(
            "--options",
            metavar="N",
            help="Maximum number of answer options per question",
            rich_help_panel=SELECTION,
        ),
    ] = 4,
    fewest_options: Annotated[
        int,
        typer.Option(
            "--fewest-options",
            metavar="N",
            help="Minimum number of answer options per question, the right one included; a shot for which too few "
            "options are certainly wrong is dropped",
            rich_help_panel=SELECTION,
        ),
    ] = 2,
    difficulty: Annotated[
        Literal["any", "hard", "easy"],
        typer.Option(
            "--difficulty",
            help="Choice of wrong options: hard prefers those easily confused with the right one, easy those least "
            "like it, any draws at random",
            rich_help_panel=SELECTION,
        ),
    ] = "any",
    max_per_term: Annotated[
        int,
        typer.Option(
            "--max-per-term",
            metavar="N",
            help="Maximum number of questions with the same right answer, in each dimension and split; 0 for no limit",
            rich_help_panel=SELECTION,
        ),
    ] = 0,
    unbalanced: Annotated[
        bool,
        typer.Option(
            "--unbalanced",
            help="Keep all shots with common labels; without this option, some are dropped so that every option is "
            "right equally often. Unbalanced questions can fail the check of --gate",
            rich_help_panel=SELECTION,
        ),
    ] = False,
    trust_ids: Annotated[
        bool,
        typer.Option(
            "--trust-ids",
            help="Accept every film id as a film of its own: a file may be listed under several ids, and films that "
            "look alike, or whose ids differ only in case, blanks, punctuation, accents or a year, may be in different "
            "splits; without this option, the former is refused and the latter are in one split",
            rich_help_panel=SELECTION,
        ),
    ] = False,
    reasoning: Annotated[
        bool,
        typer.Option(
            "--reasoning",
            help="Add a reasoning chain of one sentence, which names the label, to each question, for `shotbench train "
            "cot-sft` without `shotbench data chains`",
            rich_help_panel=SELECTION,
        ),
    ] = False,
    against: Against = None,
    gate: Gate = None,
    no_gate: Annotated[
        bool,
        typer.Option(
            "--no-gate",
            help="Write the shards even if guessing exceeds chance by more than --gate permits",
            rich_help_panel=QUALITY,
        ),
    ] = False,
    licence: Annotated[
        str,
        typer.Option(
            "--licence",
            metavar="NAME",
            help="Licence of the films, by its identifier on the Hugging Face Hub, such as cc-by-4.0",
            rich_help_panel=OUTPUT,
        ),
    ] = "other",
    report: ReportFile = None,
    rows_file: Annotated[
        Path | None,
        typer.Option(
            "--rows",
            metavar="FILE",
            help="CSV file to write with one line per row of the table: its outcome, the number of questions about it, "
            "and why it has no more. The shard folder holds the same file as rows.csv; this one is written also if "
            "no shards are, and with --check",
            show_default="not written",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    keep_work: Annotated[
        bool,
        typer.Option(
            "--keep-work",
            help="Keep the cut stills and clips, so that another run with other options for the questions does not cut "
            "again; for --out shards/mine they are in shards/.mine.work",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    workers: WorkersOption = CORES,
    ray_address: RayAddress = "",
) -> int:
    """Make shards from your own films: cut the shots of an annotation table, write questions, and audit them.

    If the audit fails, no shards are written and the exit status is 1.
    """
    from data_pipeline.annotations.aliases import NO_ALIASES, Aliases
    from data_pipeline.annotations.annotation_table import TableOptions
    from data_pipeline.build_dataset import DatasetRecipe
    from data_pipeline.build_films import build_films
    from data_pipeline.checks.audit import AuditFailed
    from data_pipeline.films.check_films import check_films
    from data_pipeline.films.cut_settings import CutSettings
    from data_pipeline.questions.split_by_film import DEFAULT_SHARES, parse_shares
    from data_pipeline.questions.write_questions import Difficulty, QuestionPolicy
    from data_pipeline.row_account import RowAccount
    from data_pipeline.shards.full_disk import write_output
    from data_pipeline.workers import Workers
    from lmms_eval_shotbench.remote_path import location

    films_folder, table_file = location(films), location(table)
    if max_per_term < 0:
        raise ValueError(f"--max-per-term is {max_per_term}; use a number from 1 up, or 0 for no limit")
    recipe = DatasetRecipe(
        shares=parse_shares(splits) if splits else DEFAULT_SHARES,
        questions=QuestionPolicy(
            options=options,
            fewest_options=fewest_options,
            difficulty=Difficulty(difficulty),
            max_per_term=max_per_term,
            balance=not unbalanced,
            seed=seed,
            reasoning=reasoning,
        ),
        seed=seed,
        gate=margin_of(gate, no_gate),
        against=tuple(against or ()),
        trust_ids=trust_ids,
    )
    given = {"detector": detector, "flash_frames": flash_frames}
    settings = CutSettings.read(config, {name: value for name, value in given.items() if value is not None})
    reading = TableOptions(
        tuple(ignore_columns or ()), Aliases.read(aliases) if aliases else NO_ALIASES, tuple(only_source or ())
    )
    on_workers, defects, account = Workers.reachable(workers, ray_address), list[Defect](), RowAccount()
    if out is None and not check:
        raise ValueError("--out is missing; name the shard folder to write, or check the table with --check")
    try:
        if out is None or check:
            account.only_checked = True
            checking = partial(check_films, table_file, films_folder, settings, on_workers, defects, reading)
            checked = checking(listed=account.rows, trust_ids=trust_ids)
            print(f"{table}: rows: {checked.rows:,}; can be cut: {checked.usable:,}; cannot: {checked.lost:,}")
            return int(checked.faulty > 0)
        building = partial(build_films, films_folder, table_file, location(out), settings, recipe, defects, on_workers)
        done = building(options=reading, account=account, licence=licence, overwrite=overwrite, keep_work=keep_work)
    except AuditFailed as failed:
        account.unfinished = "the audit failed"
        for failure in failed.report.failures:
            print_error(failure)
        print_error("The audit failed; nothing was written. More films, --max-per-term or another --gate may help.")
        return 1
    finally:
        print_defects(table_file, defects, each=check)
        if report:
            write_output(report, "".join(json.dumps(defect.to_row()) + "\n" for defect in defects))
        if rows_file and (content := account.to_csv(defects)):
            write_output(rows_file, content)
    print_outcomes(table_file, account.stored)
    questions = {split: sum(by_dimension.values()) for split, by_dimension in done.counts.items()}
    state = "was complete already" if done.already_complete else "is written"
    by_split = ", ".join(f"{split} {count:,}" for split, count in questions.items())
    print(f"{done.folder} {state}: {sum(questions.values()):,} questions ({by_split})")
    return 0
