"""`--judge-url` and what belongs to it, of the commands that may ask a judge (`grading/judge.py`)."""

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


def add_judge(parser: argparse.ArgumentParser, what: str) -> None:
    """Mount the arguments; `what` says in the help what a judge is asked."""
    group = parser.add_argument_group("judge", what)
    group.add_argument("--judge-url", help="OpenAI-compatible endpoint, such as http://localhost:8000/v1")
    group.add_argument("--judge-model", help="model name at that endpoint")
    group.add_argument("--judge-cache", type=Path, help="file of earlier verdicts (default: in the cache folder)")


def judge_named(args: argparse.Namespace) -> Judge | None:
    """The judge that the arguments name, None without any of them; raises `ValueError` where they name half a judge."""
    from lmms_eval_shotbench.environment import cache_folder
    from lmms_eval_shotbench.grading.judge import Judge

    if args.judge_url is args.judge_model is args.judge_cache is None:
        return None
    if not args.judge_url:
        raise ValueError("--judge-model and --judge-cache need --judge-url: nobody would be asked")
    if not args.judge_model:
        raise ValueError("--judge-url needs --judge-model")
    return Judge(args.judge_url, args.judge_model, args.judge_cache or cache_folder("judge") / "verdicts.sqlite")


def told(report: JudgeReport) -> JudgeReport:
    """The report, after saying on stderr what it holds and what failed requests mean for the scores."""
    print(f"shotbench: {report}", file=sys.stderr)
    if report.failed:
        print(
            f"shotbench: {report.failed} verdicts are missing from the scores because requests to the judge failed; "
            "fix its endpoint and run the same command again, which repeats only these requests",
            file=sys.stderr,
        )
    return report


def tell_unanswered(items: Sequence[QAItem], among: str) -> None:
    """Say on stderr which of all items have no response; `among` names all of them."""
    from lmms_eval_shotbench.runs.score import first_indices

    indices = first_indices(items)
    print(f"shotbench: no response for {len(items)} of {among} (index {indices}); they count as wrong", file=sys.stderr)


def add_out(parser: argparse.ArgumentParser) -> None:
    """Mount `--out`."""
    parser.add_argument("--out", type=out_file, help="write there instead of printing")


def out_file(text: str) -> Path:
    """The type of an argument that names a file to write: refused at once where none can be written."""
    try:
        require_writable(Path(text))
    except NotWritable as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(text)


def put_out(text: str, out: Path | None) -> None:
    """Write `text` to a file, or print it; it ends in one line break either way."""
    if out:
        write_atomic(out, text.rstrip("\n") + "\n")
    else:
        print(text.rstrip("\n"))
