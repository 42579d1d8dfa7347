"""`shotbench data films`: make shards from your own films and an annotation table."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from data_pipeline.commands.console import print_error
from data_pipeline.commands.gate import add_gate, margin_of
from data_pipeline.defects import Defect
from data_pipeline.workers import Workers
from lmms_eval_shotbench.commands.shared_arguments import out_file


def add(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    step = steps.add_parser("films", help="make shards of your own films and their annotations")
    step.add_argument("films", metavar="FILMS", type=Path, help="folder of films, trailers, stills")
    step.add_argument("--table", metavar="FILE", type=Path, required=True, help="annotations: CSV, JSONL or parquet")
    step.add_argument("--out", metavar="SHARDS", type=Path, required=True, help="shard folder to write")
    step.add_argument("--overwrite", action="store_true", help="replace shards that are at SHARDS")
    step.add_argument("--config", metavar="TOML", type=Path, help="thresholds of cutting, as name = value")
    step.add_argument("--splits", default="", help="shares of films (default: sft:6,grpo:2,dev:1,test:1)")
    step.add_argument("--seed", type=int, default=0, help="another seed: other splits, other options (default: 0)")
    step.add_argument("--options", type=int, default=4, help="options of a question, at most (default: 4)")
    step.add_argument(
        "--fewest-options", type=int, default=2, help="and at least, or there is no question (default: 2)"
    )
    step.add_argument("--difficulty", choices=("any", "hard", "easy"), default="any", help="wrong options: how near")
    step.add_argument("--max-per-term", type=int, default=0, help="questions with one right answer, in one split")
    step.add_argument("--unbalanced", action="store_true", help="no shot is surplus; see --gate")
    step.add_argument("--against", metavar="SHARDS", action="append", default=[], help="keep their pictures out")
    add_gate(step, "write shards that can be answered blind, too")
    step.add_argument("--licence", default="other", help="of the films, as the Hub names it (default: other)")
    step.add_argument("--report", metavar="FILE", type=out_file, help="write all losses there, one JSON object a line")
    step.add_argument("--keep-work", action="store_true", help="keep the cut media, in .SHARDS.work")
    Workers.add_arguments(step)
    step.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Cut shots, generate and audit questions, write shards, and print a summary."""
    from data_pipeline.build_dataset import DatasetRecipe
    from data_pipeline.build_films import build_films
    from data_pipeline.checks.audit import AuditFailed
    from data_pipeline.films.cut_settings import CutSettings
    from data_pipeline.questions.split_by_film import DEFAULT_SHARES, parse_shares
    from data_pipeline.questions.write_questions import Difficulty, QuestionPolicy
    from data_pipeline.shards.full_disk import write_output

    if args.max_per_term < 0:
        raise ValueError(f"--max-per-term is {args.max_per_term}; use a number from 1 up, or 0 for no limit")
    recipe = DatasetRecipe(
        shares=parse_shares(args.splits) if args.splits else DEFAULT_SHARES,
        questions=QuestionPolicy(
            options=args.options,
            fewest_options=args.fewest_options,
            difficulty=Difficulty(args.difficulty),
            max_per_term=args.max_per_term,
            balance=not args.unbalanced,
            seed=args.seed,
        ),
        seed=args.seed,
        gate=margin_of(args),
        against=tuple(args.against),
    )
    settings = CutSettings.read(args.config) if args.config else CutSettings()
    workers, defects = Workers.of(args), list[Defect]()
    options = {"licence": args.licence, "overwrite": args.overwrite, "keep_work": args.keep_work}
    try:
        done = build_films(args.films, args.table, args.out, settings, recipe, defects, workers, **options)
    except AuditFailed as failed:
        for failure in failed.report.failures:
            print_error(failure)
        print_error("The audit failed; nothing was written. More films, --max-per-term or another --gate may help.")
        return 1
    finally:
        _print_defects(defects)
        if args.report:
            write_output(args.report, "".join(json.dumps(defect.to_row()) + "\n" for defect in defects))
    questions = {split: sum(by_dimension.values()) for split, by_dimension in done.counts.items()}
    state = "was complete already" if done.already_complete else "is written"
    by_split = ", ".join(f"{split} {count:,}" for split, count in questions.items())
    print(f"{done.folder} {state}: {sum(questions.values()):,} questions ({by_split})")
    return 0


def _print_defects(defects: Sequence[Defect]) -> None:
    """Print the number of defects by reason; also if no shards, and so no `defects.jsonl`, were written."""
    for (kind, lost), count in Counter((defect.kind, defect.loses_row) for defect in defects).most_common():
        first = next(defect for defect in defects if (defect.kind, defect.loses_row) == (kind, lost))
        print_error(f"{count:,} {'left out' if lost else 'noted'}: {kind}, e.g. {first.index}: {first.detail}")
