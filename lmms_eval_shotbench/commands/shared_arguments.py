"""Arguments shared by several commands: the judge (`grading/judge.py`) and the output file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lmms_eval_shotbench.atomic_file import NotWritable, require_writable, write_atomic

if TYPE_CHECKING:
    from lmms_eval_shotbench.grading.judge import Judge, JudgeReport
    from lmms_eval_shotbench.qa_item import QAItem


def add_judge(parser: argparse.ArgumentParser, description: str) -> None:
    """Add the arguments of a judge, with a description of its purpose for the help text."""
    group = parser.add_argument_group("judge", description)
    group.add_argument("--judge-url", help="OpenAI-compatible endpoint, such as http://localhost:8000/v1")
    group.add_argument("--judge-model", help="model name at that endpoint")
    group.add_argument("--judge-cache", type=Path, help="file of earlier verdicts (default: in the cache folder)")


def judge_from_args(args: argparse.Namespace) -> Judge | None:
    """Create the judge given by the arguments, or None without any; raises `ValueError` if they are incomplete."""
    from lmms_eval_shotbench.environment import cache_folder
    from lmms_eval_shotbench.grading.judge import Judge

    if args.judge_url is args.judge_model is args.judge_cache is None:
        return None
    if not args.judge_url:
        raise ValueError("--judge-model and --judge-cache need --judge-url: without it no judge is asked")
    if not args.judge_model:
        raise ValueError("--judge-url needs --judge-model")
    return Judge(args.judge_url, args.judge_model, args.judge_cache or cache_folder("judge") / "verdicts.sqlite")


def print_judge_report(report: JudgeReport) -> None:
    """Print the report to stderr, with a warning if requests failed."""
    print(f"shotbench: {report}", file=sys.stderr)
    if report.failed:
        print(
            f"shotbench: {report.failed} verdicts are missing from the scores because requests to the judge failed; "
            "fix its endpoint and run the same command again, which repeats only these requests",
            file=sys.stderr,
        )


def warn_unanswered(items: Sequence[QAItem], total: str) -> None:
    """Warn on stderr about items without a response; `total` describes all items, e.g. "3572 items"."""
    from lmms_eval_shotbench.runs.score import first_indices

    indices = first_indices(items)
    print(f"shotbench: no response for {len(items)} of {total} (index {indices}); they count as wrong", file=sys.stderr)


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add `--out`."""
    parser.add_argument("--out", type=out_file, help="write there instead of printing")


def out_file(text: str) -> Path:
    """Argument type of an output file, rejected during parsing if it cannot be written."""
    try:
        require_writable(Path(text))
    except NotWritable as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(text)


def write_or_print(text: str, out: Path | None) -> None:
    """Write `text` to a file if given, else print it; either way it ends in one newline."""
    if out:
        write_atomic(out, text.rstrip("\n") + "\n")
    else:
        print(text.rstrip("\n"))
