"""`shotbench refineshot`: compute RefineShot's scores from stored responses, without a model."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lmms_eval_shotbench.commands.shared_arguments import (
    add_judge,
    add_out,
    judge_from_args,
    print_judge_report,
    warn_unanswered,
    write_or_print,
)

if TYPE_CHECKING:
    from lmms_eval_shotbench.grading.judge import Judge, JudgeReport
    from lmms_eval_shotbench.qa_item import QAItem

FORMATS = ("table", "json")


def add_refineshot(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `shotbench refineshot` to the parser."""
    from lmms_eval_shotbench.grading.grade import PROTOCOLS
    from lmms_eval_shotbench.scoring.refineshot import SETTINGS

    parser = commands.add_parser("refineshot", help="RefineShot's scores: does the answer follow from the thought?")
    parser.add_argument("questions", help="the questions that were asked: test.tsv, shard folder or Hub id")
    for setting in SETTINGS:
        flag = f"--{setting.replace('_', '-')}"
        parser.add_argument(flag, type=Path, metavar="RESPONSES", help=f"responses to the prompt style {setting}")
    parser.add_argument("--split", default="test", help="split of a shard folder (default: test)")
    parser.add_argument("--protocol", choices=PROTOCOLS, default=PROTOCOLS[0], help="of accuracy (theirs: official)")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0])
    add_out(parser)
    parser.add_argument("--allow-missing", action="store_true", help="exit 0 although items have no response")
    add_judge(parser, "a model that reads the thoughts of which rules find no conclusion")
    parser.set_defaults(run=_refineshot)


def _refineshot(args: argparse.Namespace) -> int:
    from lmms_eval_shotbench.questions.question_files import read_questions
    from lmms_eval_shotbench.runs.responses import match_responses, read_responses
    from lmms_eval_shotbench.scoring.refineshot import SETTINGS, grade_setting, refineshot_json, refineshot_table

    files = {setting: path for setting in SETTINGS if (path := getattr(args, setting))}
    if not files:
        raise ValueError("no responses to score: give --direct, --reasoning or --step-by-step")
    judge = judge_from_args(args)
    items = read_questions(args.questions, args.split)
    responses_of = {name: match_responses(items, read_responses(path), path) for name, path in files.items()}
    reports = _judged(judge, items, responses_of) if judge else {}
    settings = {
        name: grade_setting(items, responses, args.protocol, reports[name].letters if judge else None)
        for name, responses in responses_of.items()
    }
    text = {"table": refineshot_table, "json": refineshot_json}[args.format](settings, args.protocol)
    write_or_print(text, args.out)
    missing = _warn_missing(items, responses_of) and not args.allow_missing
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
