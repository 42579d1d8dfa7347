"""`shotbench score`: score stored responses, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lmms_eval_shotbench.commands.command import About, one_command, print_message
from lmms_eval_shotbench.commands.judge import judge_of, print_judge_report, replies_kept
from lmms_eval_shotbench.commands.options import (
    INPUT,
    OUTPUT,
    QUESTIONS_HELP,
    AllowMissing,
    JudgeCache,
    JudgeModel,
    JudgeUrl,
    OutFile,
    ProtocolOption,
    TestSplit,
)
from lmms_eval_shotbench.commands.output import warn_unanswered, write_or_print

if TYPE_CHECKING:
    from lmms_eval_shotbench.grading.judge import Judge, JudgeReport
    from lmms_eval_shotbench.qa_item import QAItem

# The same values as `VARIANTS` and `FORMATS`, which are not imported to print help.
VariantName = Literal["blind", "circular", "mirrored", "reversed", "refined"]
Format = Literal["table", "json", "csv"]

app, command = one_command(
    "score",
    About(
        kept=replies_kept,
        examples=(
            "shotbench score test.tsv predictions.xlsx",
            "shotbench score shards/shotbench results/shotvl-3b/samples.jsonl \\",
            "    --protocol official --format json --out official.json",
        ),
    ),
)


@command
def score(
    questions: Annotated[str, typer.Argument(metavar="QUESTIONS", help=QUESTIONS_HELP)],
    responses: Annotated[
        Path,
        typer.Argument(
            metavar="RESPONSES",
            help="Responses to them: .jsonl or .jsonl.gz with the fields index and response, or predictions of the "
            "official script (.xlsx, .tsv)",
        ),
    ],
    split: TestSplit = "test",
    variant: Annotated[
        VariantName | None,
        typer.Option(
            "--variant",
            help="Variant of the questions that was asked instead of the questions themselves",
            show_default="none",
            rich_help_panel=INPUT,
        ),
    ] = None,
    refined: Annotated[
        Path | None,
        typer.Option(
            "--refined",
            metavar="FILE",
            help="Published test.tsv of RefineShot, for --variant refined",
            show_default="the refined questions are rebuilt from the original ones",
            rich_help_panel=INPUT,
        ),
    ] = None,
    protocol: ProtocolOption = "strict",
    format: Annotated[Format, typer.Option("--format", help="Format of the output", rich_help_panel=OUTPUT)] = "table",
    out: OutFile = None,
    allow_missing: AllowMissing = False,
    judge_url: JudgeUrl = None,
    judge_model: JudgeModel = None,
    judge_cache: JudgeCache = None,
) -> int:
    """Score stored responses, without a model.

    With --protocol official, a judge (a language model at an endpoint) can choose the option for responses that the
    rules leave undecided.
    """
    from lmms_eval_shotbench.runs.responses import match_responses, read_responses
    from lmms_eval_shotbench.runs.score import FORMATS, score_responses

    judge = judge_of(judge_url, judge_model, judge_cache)
    if judge and protocol != "official":
        raise ValueError("a judge needs --protocol official; strict grading uses none")
    items, run = _questions(questions, split, variant, refined)
    texts = match_responses(items, read_responses(responses), responses)
    report = _judged(judge, items, texts) if judge else None
    scored = score_responses(items, texts, protocol, judged=report.letters if report else None, run=run)
    write_or_print(FORMATS[format](scored), out)
    if scored.unanswered:
        warn_unanswered(scored.unanswered, f"{len(items)} items")
    missing = scored.unanswered and not allow_missing
    return 1 if missing or (report and report.failed) else 0


def _judged(judge: Judge, items: list[QAItem], texts: list[str]) -> JudgeReport:
    from lmms_eval_shotbench.grading.judge import judge_undecided

    report = judge_undecided(judge, items, texts)
    print_judge_report(report)
    return report


def _questions(
    questions: str, split: str, variant: VariantName | None, refined: Path | None
) -> tuple[list[QAItem], dict[str, Any]]:
    """The questions that were asked, and the record of their variant for the scores."""
    from lmms_eval_shotbench.questions.question_files import read_questions

    if refined and variant != "refined":
        raise ValueError("--refined is only valid with --variant refined; leave it out")
    items = read_questions(questions, split)
    if not variant:
        return items, {}
    from lmms_eval_shotbench.harness.run_record import variant_record  # it imports the harness
    from lmms_eval_shotbench.questions.variants import variant_in_use

    asked = variant_in_use(variant, refined)
    record = variant_record(variant, asked.left_out(items), refined)
    if variant == "refined" and not record["refined"]["file"]:
        print_message("the refined questions are rebuilt; use --refined for the published ones")
    return asked.of(items), record
