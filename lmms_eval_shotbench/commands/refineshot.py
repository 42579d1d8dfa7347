"""`shotbench refineshot`: compute RefineShot's scores from stored responses, without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lmms_eval_shotbench.commands.command import About, one_command
from lmms_eval_shotbench.commands.judge import judge_of, print_judge_report, replies_kept
from lmms_eval_shotbench.commands.options import (
    AllowMissing,
    FormatOption,
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

RESPONSES = "Responses, at least one file"  # panel


def _responses(option: str, style: str) -> typer.models.OptionInfo:
    return typer.Option(  # type: ignore[no-any-return]
        option,
        metavar="FILE",
        help=f"Responses in the prompt style {style}; a file as for `shotbench score`, such as samples.jsonl of a run",
        show_default="this style is not scored",
        rich_help_panel=RESPONSES,
    )


app, command = one_command(
    "refineshot",
    About(
        kept=replies_kept,
        examples=(
            "shotbench refineshot refineshot.tsv --direct direct.jsonl \\",
            "    --step-by-step steps.jsonl",
        ),
    ),
)


@command
def refineshot(
    questions: Annotated[
        str,
        typer.Argument(
            metavar="QUESTIONS",
            help="Questions that were asked, usually RefineShot's published test.tsv; also a shard folder or Hub id of "
            "shards",
        ),
    ],
    direct: Annotated[Path | None, _responses("--direct", "direct (a letter)")] = None,
    reasoning: Annotated[Path | None, _responses("--reasoning", "reasoning (a thought, then a letter)")] = None,
    step_by_step: Annotated[
        Path | None, _responses("--step-by-step", "step_by_step (a thought in four steps, then a letter)")
    ] = None,
    split: TestSplit = "test",
    protocol: ProtocolOption = "strict",
    format: FormatOption = "table",
    out: OutFile = None,
    allow_missing: AllowMissing = False,
    judge_url: JudgeUrl = None,
    judge_model: JudgeModel = None,
    judge_cache: JudgeCache = None,
) -> int:
    """Compute RefineShot's scores of stored responses: accuracy, and whether answers agree with the thoughts.

    RefineShot's published accuracy uses --protocol official. With either protocol, a judge (a language model at an
    endpoint) can read the thoughts in which the rules find no conclusion; otherwise these count as consistent.
    """
    from lmms_eval_shotbench.questions.question_files import read_questions
    from lmms_eval_shotbench.runs.responses import match_responses, read_responses
    from lmms_eval_shotbench.scoring.refineshot import grade_setting, refineshot_json, refineshot_table

    given = {"direct": direct, "reasoning": reasoning, "step_by_step": step_by_step}
    files = {setting: path for setting, path in given.items() if path}
    if not files:
        raise ValueError("no responses to score: give --direct, --reasoning or --step-by-step")
    judge = judge_of(judge_url, judge_model, judge_cache)
    items = read_questions(questions, split)
    responses_of = {name: match_responses(items, read_responses(path), path) for name, path in files.items()}
    reports = _judged(judge, items, responses_of) if judge else {}
    settings = {
        name: grade_setting(items, responses, protocol, reports[name].letters if judge else None)
        for name, responses in responses_of.items()
    }
    text = {"table": refineshot_table, "json": refineshot_json}[format](settings, protocol)
    write_or_print(text, out)
    missing = _warn_missing(items, responses_of) and not allow_missing
    return 1 if missing or any(report.failed for report in reports.values()) else 0


def _judged(judge: Judge, items: Sequence[QAItem], responses_of: Mapping[str, Sequence[str]]) -> dict[str, JudgeReport]:
    from lmms_eval_shotbench.grading.judge import judge_texts
    from lmms_eval_shotbench.scoring.refineshot import thoughts_to_judge

    reports = {}
    for name, responses in responses_of.items():
        reports[name] = judge_texts(judge, thoughts_to_judge(items, responses))
        print_judge_report(reports[name])
    return reports


def _warn_missing(items: Sequence[QAItem], responses_of: dict[str, list[str]]) -> bool:
    from lmms_eval_shotbench.grading.strict import has_response

    missing = {
        name: [item for item, response in zip(items, responses, strict=True) if not has_response(response)]
        for name, responses in responses_of.items()
    }
    for name, unanswered in missing.items():
        if unanswered:
            warn_unanswered(unanswered, f"{len(items)} items in {name}")
    return any(missing.values())
