"""`shotbench score`: score stored responses, without a model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmms_eval_shotbench.qa_item import QAItem


def add_score(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Mount `shotbench score`."""
    from lmms_eval_shotbench.grading import PROTOCOLS
    from lmms_eval_shotbench.score import FORMATS
    from lmms_eval_shotbench.variants import VARIANTS

    parser = commands.add_parser("score", help="score stored responses, without a model")
    parser.add_argument("questions", help="test.tsv, shard folder or Hub id")
    parser.add_argument("responses", type=Path, help=".jsonl(.gz) with index and response, or .xlsx/.tsv predictions")
    parser.add_argument("--split", default="test", help="split of a shard folder (default: test)")
    parser.add_argument("--variant", choices=[variant.name for variant in VARIANTS], help="what the questions became")
    parser.add_argument("--protocol", choices=PROTOCOLS, default=PROTOCOLS[0])
    parser.add_argument("--format", choices=tuple(FORMATS), default=next(iter(FORMATS)))
    parser.add_argument("--out", type=Path, help="write there instead of printing")
    parser.add_argument("--allow-missing", action="store_true", help="exit 0 although items have no response")
    judge = parser.add_argument_group("judge", "for --protocol official: a model that matches undecided responses")
    judge.add_argument("--judge-url", help="OpenAI-compatible endpoint, such as http://localhost:8000/v1")
    judge.add_argument("--judge-model", help="model name at that endpoint")
    judge.add_argument("--judge-cache", type=Path, help="file of earlier verdicts (default: in the cache folder)")
    parser.set_defaults(run=_score)


def _score(args: argparse.Namespace) -> int:
    from lmms_eval_shotbench.responses import match_responses, read_responses
    from lmms_eval_shotbench.score import FORMATS, first_indices, score_responses
    from lmms_eval_shotbench.shards import read_questions
    from lmms_eval_shotbench.task_functions import variant_in_use
    from lmms_eval_shotbench.whole_file import write_whole

    items = read_questions(args.questions, args.split)
    if args.variant:
        items = variant_in_use(args.variant).of(items)
    responses = match_responses(items, read_responses(args.responses), args.responses)
    judged = _judged(args, items, responses)
    scored = score_responses(items, responses, args.protocol, judged=judged)
    text = FORMATS[args.format](scored)
    if args.out:
        write_whole(args.out, text.rstrip("\n") + "\n")
    else:
        print(text.rstrip("\n"))
    if scored.unanswered:
        print(
            f"shotbench: no response for {len(scored.unanswered)} of {len(items)} items "
            f"(index {first_indices(scored.unanswered)}); they count as wrong",
            file=sys.stderr,
        )
    return 1 if scored.unanswered and not args.allow_missing else 0


def _judged(args: argparse.Namespace, items: Sequence[QAItem], responses: Sequence[str]) -> dict[int, str]:
    if not args.judge_url:
        return {}
    if args.protocol != "official" or not args.judge_model:
        raise ValueError("--judge-url needs --judge-model and --protocol official; strict grading takes no judge")
    from lmms_eval_shotbench.judge import Judge, judge_undecided
    from lmms_eval_shotbench.media import cache_folder

    cache = args.judge_cache or cache_folder("judge") / "verdicts.sqlite"
    report = judge_undecided(Judge(args.judge_url, args.judge_model, cache), items, responses)
    print(f"shotbench: {report}", file=sys.stderr)
    return report.letters
