"""`shotbench score`: score stored responses, without a model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmms_eval_shotbench.commands.shared_arguments import (
    add_judge,
    add_out,
    judge_from_args,
    print_judge_report,
    warn_unanswered,
    write_or_print,
)

if TYPE_CHECKING:
    from lmms_eval_shotbench.qa_item import QAItem


def add_score(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `shotbench score` to the parser."""
    from lmms_eval_shotbench.grading.grade import PROTOCOLS
    from lmms_eval_shotbench.questions.variants import VARIANTS
    from lmms_eval_shotbench.runs.score import FORMATS

    parser = commands.add_parser("score", help="score stored responses, without a model")
    parser.add_argument("questions", help="test.tsv, shard folder or Hub id")
    parser.add_argument("responses", type=Path, help=".jsonl(.gz) with index and response, or .xlsx/.tsv predictions")
    parser.add_argument("--split", default="test", help="split of a shard folder (default: test)")
    parser.add_argument("--variant", choices=[variant.name for variant in VARIANTS], help="what the questions became")
    parser.add_argument("--refined", type=Path, help="RefineShot's test.tsv, for --variant refined (default: rebuilt)")
    parser.add_argument("--protocol", choices=PROTOCOLS, default=PROTOCOLS[0])
    parser.add_argument("--format", choices=tuple(FORMATS), default=next(iter(FORMATS)))
    add_out(parser)
    parser.add_argument("--allow-missing", action="store_true", help="exit 0 although items have no response")
    add_judge(parser, "for --protocol official: a model that matches undecided responses")
    parser.set_defaults(run=_score)


def _score(args: argparse.Namespace) -> int:
    from lmms_eval_shotbench.grading.judge import judge_undecided
    from lmms_eval_shotbench.runs.responses import match_responses, read_responses
    from lmms_eval_shotbench.runs.score import FORMATS, score_responses

    judge = judge_from_args(args)
    if judge and args.protocol != "official":
        raise ValueError("a judge needs --protocol official; strict grading uses none")
    items, run = _questions(args)
    responses = match_responses(items, read_responses(args.responses), args.responses)
    report = judge_undecided(judge, items, responses) if judge else None
    if report:
        print_judge_report(report)
    scored = score_responses(items, responses, args.protocol, judged=report.letters if report else None, run=run)
    write_or_print(FORMATS[args.format](scored), args.out)
    if scored.unanswered:
        warn_unanswered(scored.unanswered, f"{len(items)} items")
    missing = scored.unanswered and not args.allow_missing
    return 1 if missing or (report and report.failed) else 0


def _questions(args: argparse.Namespace) -> tuple[list[QAItem], dict[str, Any]]:
    """The questions that were asked, and the record of their variant for the scores."""
    from lmms_eval_shotbench.harness.run_record import variant_record
    from lmms_eval_shotbench.questions.question_files import read_questions
    from lmms_eval_shotbench.questions.variants import variant_in_use

    if args.refined and args.variant != "refined":
        raise ValueError("--refined is only valid with --variant refined; leave it out")
    items = read_questions(args.questions, args.split)
    if not args.variant:
        return items, {}
    variant = variant_in_use(args.variant, args.refined)
    record = variant_record(args.variant, variant.left_out(items), args.refined)
    if args.variant == "refined" and not record["refined"]["file"]:
        print("shotbench: the refined questions are rebuilt; use --refined for the published ones", file=sys.stderr)
    return variant.of(items), record
