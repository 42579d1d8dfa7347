"""`shotbench score`: score stored responses, without a model."""

from __future__ import annotations

from collections.abc import Sequence
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
    Currency,
    JudgeCache,
    JudgeModel,
    JudgeUrl,
    OutFile,
    PriceIn,
    PriceOut,
    ProtocolOption,
    ReasoningTags,
    TestSplit,
    prices_of,
)
from lmms_eval_shotbench.commands.output import warn_unanswered, write_or_print

if TYPE_CHECKING:
    from lmms_eval_shotbench.grading.judge import Judge, JudgeReport
    from lmms_eval_shotbench.qa_item import QAItem

# The same values as `VARIANTS` and `FORMATS`, which are not imported to print help.
VariantName = Literal["blind", "circular", "mirrored", "reversed", "refined"]
Format = Literal["table", "json", "csv"]
EXTRACTOR = "Extractor"  # panel

app, command = one_command(
    "score",
    About(
        kept=replies_kept,
        examples=(
            "shotbench score test.tsv predictions.xlsx",
            "shotbench score shards/shotbench results/shotvl-3b/samples.jsonl \\",
            "    --protocol official --format json --out official.json",
            "shotbench score test.tsv lmms_eval_output",
            "shotbench score test.tsv mirrored.jsonl --variant mirrored",
            "shotbench score test.tsv seed0.jsonl seed1.jsonl seed2.jsonl",
            "shotbench score shards/shotbench results/shotvl-3b/samples.jsonl \\",
            "    --classes classifier/labels.toml --format json --out five_sizes.json",
            "shotbench score test.tsv predictions.xlsx --protocol official \\",
            "    --judge-url http://localhost:8000/v1 --judge-model NAME",
            "shotbench score test.tsv responses.jsonl \\",
            "    --extractor-url http://localhost:8000/v1 --extractor-model NAME",
        ),
    ),
)


@command
def score(
    questions: Annotated[str, typer.Argument(metavar="QUESTIONS", help=QUESTIONS_HELP)],
    responses: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESPONSES",
            help="Responses to them: JSON (.jsonl, .json) or a table (.csv, .tsv, .xlsx) with index and response or "
            "prediction, such as the prediction file of ShotBench's evaluation script; the folder of a run; or a "
            "folder of lmms-eval's own samples (--log_samples). Several of them, or a field sample (1, 2, 3, …), are "
            "several samples of each response",
        ),
    ],
    split: TestSplit = "test",
    variant: Annotated[
        VariantName | None,
        typer.Option(
            "--variant",
            help="Variant that was asked instead of QUESTIONS: blind (without pictures), circular (once for each "
            "rotation of the options), mirrored (left and right exchanged), reversed (clips backwards) or refined "
            "(RefineShot's questions)",
            show_default="that of the tasks, for lmms-eval's samples; otherwise no variant",
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
    classes: Annotated[
        Path | None,
        typer.Option(
            "--classes",
            metavar="FILE",
            help="File of labels of a classifier (--model image_classifier): score only the questions whose options "
            "its classes distinguish, so that it and other models are compared on these",
            show_default="all questions",
            rich_help_panel=INPUT,
        ),
    ] = None,
    protocol: ProtocolOption = "strict",
    format: Annotated[Format, typer.Option("--format", help="Format of the output", rich_help_panel=OUTPUT)] = "table",
    out: OutFile = None,
    allow_missing: AllowMissing = False,
    reasoning_tags: ReasoningTags = "",
    judge_url: JudgeUrl = None,
    judge_model: JudgeModel = None,
    judge_cache: JudgeCache = None,
    extractor_url: Annotated[
        str | None,
        typer.Option(
            "--extractor-url",
            metavar="URL",
            help="OpenAI-compatible endpoint of the extractor, such as http://localhost:8000/v1; its API key is read "
            "from $OPENAI_API_KEY",
            show_default="no extractor",
            rich_help_panel=EXTRACTOR,
        ),
    ] = None,
    extractor_model: Annotated[
        str | None,
        typer.Option(
            "--extractor-model",
            metavar="NAME",
            help="Name of the extractor's model at that endpoint; required with --extractor-url",
            rich_help_panel=EXTRACTOR,
        ),
    ] = None,
    extractor_cache: Annotated[
        Path | None,
        typer.Option(
            "--extractor-cache",
            metavar="FILE",
            help="SQLite file that stores the extractor's replies, so that no request is repeated",
            show_default="extractor/verdicts.sqlite in $SHOTBENCH_CACHE or ~/.cache/shotbench",
            rich_help_panel=EXTRACTOR,
        ),
    ] = None,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    currency: Currency = None,
) -> int:
    """Score stored responses, without a model.

    Responses that the rules leave undecided count as wrong. A language model at an endpoint can read them instead: a
    judge with --protocol official, as in the paper; an extractor with --protocol strict, which sees the options and
    the response without its thought, but not the question.
    """
    from lmms_eval_shotbench.grading.added_tags import parse_reasoning_tags, with_built_in
    from lmms_eval_shotbench.runs.responses import check_indices, read_several_samples
    from lmms_eval_shotbench.runs.score import samples_of, score_samples
    from lmms_eval_shotbench.runs.score_formats import FORMATS
    from lmms_eval_shotbench.runs.stored_runs import recorded_tags

    prices = prices_of(price_in, price_out, currency)
    judge = judge_of(judge_url, judge_model, judge_cache)
    extractor = judge_of(extractor_url, extractor_model, extractor_cache, "extractor")
    if judge and protocol != "official":
        raise ValueError("a judge needs --protocol official; strict grading has an extractor (--extractor-url)")
    if extractor and protocol != "strict":
        raise ValueError("an extractor needs --protocol strict; official grading has a judge (--judge-url)")
    items, run = _questions(questions, split, _variant(variant, responses), refined)
    asked = items
    if classes:
        items = _distinguished(asked, classes)
        run |= {"classes": str(classes)}
    samples = []
    for path in responses:
        stored = read_several_samples(path)
        check_indices(asked, {index for sample in stored for index in sample}, path)
        samples += samples_of(items, stored)
    recorded = [pair for path in responses for pair in recorded_tags(path)]
    added = tuple(dict.fromkeys((*recorded, *parse_reasoning_tags(reasoning_tags))))
    run |= {"reasoning_tags": [list(pair) for pair in added]} if added else {}
    run |= {"extractor": {"model": extractor.model, "url": extractor.base_url}} if extractor else {}
    reports = []
    for number, sample in enumerate(samples):
        if judge:
            reports.append(_judged(judge, items, sample.responses))
            samples[number] = sample._replace(judged=reports[-1].letters)
        if extractor:
            reports.append(_extracted(extractor, items, sample.responses, with_built_in(added)))
            samples[number] = sample._replace(extracted=reports[-1].letters)
    scored = score_samples(items, samples, protocol, tags=with_built_in(added), run=run, prices=prices)
    write_or_print(FORMATS[format](scored), out)
    for warning in scored.warnings:
        print_message(warning)
    if scored.unanswered:
        warn_unanswered(scored.unanswered, f"{len(items)} items")
    missing = scored.unanswered and not allow_missing
    return 1 if missing or any(report.failed for report in reports) else 0


def _judged(judge: Judge, items: list[QAItem], texts: Sequence[str]) -> JudgeReport:
    from lmms_eval_shotbench.grading.judge import judge_undecided

    report = judge_undecided(judge, items, texts)
    print_judge_report(report)
    return report


def _extracted(
    extractor: Judge, items: list[QAItem], texts: Sequence[str], tags: tuple[tuple[str, str], ...]
) -> JudgeReport:
    from lmms_eval_shotbench.grading.extractor import extract_undecided

    report = extract_undecided(extractor, items, texts, tags)
    print_judge_report(report)
    return report


def _distinguished(items: list[QAItem], file: Path) -> list[QAItem]:
    """The questions whose options the classes of a file of labels distinguish; the number of others is printed."""
    from lmms_eval_shotbench.models.classifier_answers import options_of
    from lmms_eval_shotbench.models.label_map import read_label_map

    labels = read_label_map(file)
    kept = [item for item in items if options_of(item, labels).distinguished]
    if not kept:
        raise ValueError(f"--classes {file}: its classes distinguish the options of none of {len(items):,} questions")
    print_message(
        f"{len(items) - len(kept):,} of {len(items):,} questions are left out: an option has no class in {file}, or "
        "two options have the same"
    )
    return kept


def _variant(given: VariantName | None, responses: Sequence[Path]) -> str:
    """The variant that was asked: the one given, or that of the tasks of lmms-eval whose samples these are."""
    from lmms_eval_shotbench.runs.lmms_eval_samples import asked_variant

    for path in responses:
        asked = asked_variant(path)
        if given and asked is not None and asked != given:
            raise ValueError(
                f"{path}: lmms-eval's samples of {asked or 'the original questions'}, not of --variant {given}; leave "
                "it out"
            )
    return given or asked_variant(responses[0]) or ""


def _questions(questions: str, split: str, variant: str, refined: Path | None) -> tuple[list[QAItem], dict[str, Any]]:
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
