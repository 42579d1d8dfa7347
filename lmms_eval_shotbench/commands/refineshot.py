"""`shotbench refineshot`: RefineShot's scores of stored responses, without a model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmms_eval_shotbench.qa_item import QAItem

FORMATS = ("table", "json")


def add_refineshot(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Mount `shotbench refineshot`."""
    from lmms_eval_shotbench.grading import PROTOCOLS
    from lmms_eval_shotbench.refineshot import SETTINGS

    parser = commands.add_parser("refineshot", help="RefineShot's scores: does the answer follow from the thought?")
    parser.add_argument("questions", help="the questions that were asked: test.tsv, shard folder or Hub id")
    for setting in SETTINGS:
        flag = f"--{setting.replace('_', '-')}"
        parser.add_argument(flag, type=Path, metavar="RESPONSES", help=f"responses to the prompt style {setting}")
    parser.add_argument("--split", default="test", help="split of a shard folder (default: test)")
    parser.add_argument("--protocol", choices=PROTOCOLS, default=PROTOCOLS[0], help="of accuracy (theirs: official)")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0])
    parser.add_argument("--out", type=Path, help="write there instead of printing")
    parser.add_argument("--allow-missing", action="store_true", help="exit 0 although items have no response")
    judge = parser.add_argument_group("judge", "a model that reads the thoughts of which rules find no conclusion")
    judge.add_argument("--judge-url", help="OpenAI-compatible endpoint, such as http://localhost:8000/v1")
    judge.add_argument("--judge-model", help="model name at that endpoint")
    judge.add_argument("--judge-cache", type=Path, help="file of earlier verdicts (default: in the cache folder)")
    parser.set_defaults(run=_refineshot)


def _refineshot(args: argparse.Namespace) -> int:
    from lmms_eval_shotbench.refineshot import SETTINGS, read_setting, refineshot_json, refineshot_table
    from lmms_eval_shotbench.responses import match_responses, read_responses
    from lmms_eval_shotbench.shards import read_questions
    from lmms_eval_shotbench.whole_file import write_whole

    files = {setting: path for setting in SETTINGS if (path := getattr(args, setting))}
    if not files:
        raise ValueError("no responses to score: give --direct, --reasoning or --step-by-step")
    items = read_questions(args.questions, args.split)
    given = {name: match_responses(items, read_responses(path), path) for name, path in files.items()}
    settings = {
        name: read_setting(items, responses, args.protocol, _judged(args, items, responses))
        for name, responses in given.items()
    }
    text = {"table": refineshot_table, "json": refineshot_json}[args.format](settings, args.protocol)
    if args.out:
        write_whole(args.out, text + "\n")
    else:
        print(text)
    return 1 if _tell_missing(items, given) and not args.allow_missing else 0


def _tell_missing(items: Sequence[QAItem], given: dict[str, list[str]]) -> bool:
    from lmms_eval_shotbench.score import first_indices
    from lmms_eval_shotbench.strict_reading import has_response

    missing = {
        name: [item for item, response in zip(items, responses, strict=True) if not has_response(response)]
        for name, responses in given.items()
    }
    for name, absent in missing.items():
        if absent:
            print(
                f"shotbench: no response for {len(absent)} of {len(items)} items in {name} "
                f"(index {first_indices(absent)}); they count as wrong",
                file=sys.stderr,
            )
    return any(missing.values())


def _judged(args: argparse.Namespace, items: Sequence[QAItem], responses: Sequence[str]) -> dict[int, str]:
    if not args.judge_url:
        return {}
    if not args.judge_model:
        raise ValueError("--judge-url needs --judge-model")
    from lmms_eval_shotbench.judge import Judge, judge_texts
    from lmms_eval_shotbench.media import cache_folder
    from lmms_eval_shotbench.refineshot import thoughts_to_judge

    cache = args.judge_cache or cache_folder("judge") / "verdicts.sqlite"
    report = judge_texts(Judge(args.judge_url, args.judge_model, cache), thoughts_to_judge(items, responses))
    print(f"shotbench: {report}", file=sys.stderr)
    return report.letters
