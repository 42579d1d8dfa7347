"""The judge or the extractor of a command: from its options, and what is printed about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmms_eval_shotbench.commands.command import NOTHING_KEPT, print_message

if TYPE_CHECKING:
    from lmms_eval_shotbench.grading.judge import Judge, JudgeReport


def replies_kept(params: Mapping[str, Any]) -> str:
    """What an interrupted command leaves behind."""
    asked = next((name for name in ("judge", "extractor") if params.get(f"{name}_url")), "")
    cached = f"; the {asked}'s replies are cached, and the same command requests only the others"
    return NOTHING_KEPT + (cached if asked else "")


def judge_of(url: str | None, model: str | None, cache: Path | None, name: str = "judge") -> Judge | None:
    """Create the judge given by the options, or None without any; raises `ValueError` if they are incomplete.

    Args:
        url: Value of --judge-url.
        model: Value of --judge-model.
        cache: Value of --judge-cache.
        name: "extractor" for the options of that name.
    """
    if url is None and model is None and cache is None:
        return None
    from lmms_eval_shotbench.environment import cache_folder
    from lmms_eval_shotbench.grading.judge import Judge

    if not url:
        raise ValueError(f"--{name}-model and --{name}-cache need --{name}-url: without it no {name} is asked")
    if not model:
        raise ValueError(f"--{name}-url needs --{name}-model")
    return Judge(url, model, cache or cache_folder(name) / "verdicts.sqlite")


def print_judge_report(report: JudgeReport) -> None:
    """Print the report to stderr, with a warning if requests failed."""
    print_message(str(report))
    if report.failed:
        print_message(
            f"{report.failed} verdicts are missing from the scores because requests to the {report.name} failed; "
            "fix its endpoint and run the same command again, which repeats only these requests"
        )
