"""`shotbench refineshot`: RefineShot's scores of stored responses, without a model."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lmms_eval_shotbench.commands.shared_arguments import (
    add_judge,
    add_out,
    judge_named,
    put_out,
    tell_unanswered,
    told,
)

if TYPE_CHECKING:
    from lmms_eval_shotbench.grading.judge import Judge, JudgeReport
    from lmms_eval_shotbench.qa_item import QAItem

FORMATS = ("table", "json")


def add_refineshot(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Mount `shotbench refineshot`."""
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
    from lmms_eval_shotbench.scoring.refineshot import SETTINGS, read_setting, refineshot_json, refineshot_table

    files = {setting: path for setting in SETTINGS if (path := getattr(args, setting))}
    if not files:
        raise ValueError("no responses to score: give --direct, --reasoning or --step-by-step")
    judge = judge_named(args)
    items = read_questions(args.questions, args.split)
    given = {name: match_responses(items, read_responses(path), path) for name, path in files.items()}
    reports = _judged(judge, items, given) if judge else {}
    settings = {
        name: read_setting(items, responses, args.protocol, reports[name].letters if judge else None)
        for name, responses in given.items()
    }
    text = {"table": refineshot_table, "json": refineshot_json}[args.format](settings, args.protocol)
    put_out(text, args.out)
    missing = _tell_missing(items, given) and not args.allow_missing
    return 1 if missing or any(report.failed for report in reports.values()) else 0


def _judged(judge: Judge, items: Sequence[QAItem], given: Mapping[str, Sequence[str]]) -> dict[str, JudgeReport]:
    from lmms_eval_shotbench.grading.judge import judge_texts
    from lmms_eval_shotbench.scoring.refineshot import thoughts_to_judge

    return {name: told(judge_texts(judge, thoughts_to_judge(items, responses))) for name, responses in given.items()}


def _tell_missing(items: Sequence[QAItem], given: dict[str, list[str]]) -> bool:
    from lmms_eval_shotbench.grading.strict import has_response

    missing = {
        name: [item for item, response in zip(items, responses, strict=True) if not has_response(response)]
        for name, responses in given.items()
    }
    for name, absent in missing.items():
        if absent:
            tell_unanswered(absent, f"{len(items)} items in {name}")
    return any(missing.values())
