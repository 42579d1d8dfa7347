"""Runs become a report: variants go to the run they belong to, runs on the same questions are compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.report.gather import ReportRun, read_report_run, told_apart
from lmms_eval_shotbench.report.published import asks_all_of_shotbench
from lmms_eval_shotbench.report.training import TrainingCurves, read_training
from lmms_eval_shotbench.runs.compare import Comparison, NotComparable, compare_runs
from lmms_eval_shotbench.runs.robust import scores_of_variants
from lmms_eval_shotbench.runs.scores_schema import BadRun
from lmms_eval_shotbench.runs.stored_runs import sides
from lmms_eval_shotbench.scoring.robustness import VariantScores


@dataclass(frozen=True)
class MainRun:
    """A run on the questions as they are, with the runs on their variants."""

    run: ReportRun
    variants: Sequence[VariantScores]


@dataclass(frozen=True)
class Compared:
    """Two runs by their places among the main ones; `found` is None where they are no pair, `refused` says why."""

    a: int
    b: int
    found: Comparison | None
    refused: str = ""


@dataclass(frozen=True)
class ReportData:
    """All that a report is made of."""

    runs: Sequence[MainRun]
    compared: Sequence[Compared]  # every run against the first
    training: Sequence[TrainingCurves]
    published: bool  # whether the published rows stand beside them


def read_report(
    arguments: Sequence[str],
    data: str | None = None,
    split: str | None = None,
    training: Sequence[Path] = (),
    published: bool | None = None,
) -> ReportData:
    """What the arguments name: runs, or pairs of QUESTIONS RESPONSES; raises what their readers raise."""
    runs = [read_report_run(side.path, side.questions or data, split) for side in sides(arguments)]
    return assemble(runs, [read_training(run) for run in training], published)


def assemble(
    runs: Sequence[ReportRun], training: Sequence[TrainingCurves] = (), published: bool | None = None
) -> ReportData:
    """Sort and compare; `published` None shows the published rows where all of ShotBench was asked.

    Raises:
        BadRun: there is no run on the questions as they are, or a variant's run belongs to none.
    """
    mains = told_apart([run for run in runs if not run.variant])
    if not mains:
        raise BadRun(f"{runs[0].stored.name} is a run of a variant; give the run on the questions as they are, too")
    belonging: list[list[ReportRun]] = [[] for _ in mains]
    for run in runs:
        if run.variant:
            belonging[_owner(run, mains)].append(run)
    if published is None:
        published = all(asks_all_of_shotbench(run.stored) for run in mains)
    sorted_runs = [MainRun(run, _scores(run, own)) for run, own in zip(mains, belonging, strict=True)]
    return ReportData(sorted_runs, [_compared(mains, b) for b in range(1, len(mains))], training, published)


def _owner(variant: ReportRun, mains: Sequence[ReportRun]) -> int:
    """The place of the main run of the same model, asked in the same style."""
    alike = [place for place, run in enumerate(mains) if _asked(run) == _asked(variant)]
    if len(mains) == 1:
        return 0
    if len(alike) != 1:
        raise BadRun(
            f"{variant.stored.name}: {len(alike)} of the runs are of its model, arguments and prompt "
            "style; make a report of one run with its variants"
        )
    return alike[0]


def _asked(run: ReportRun) -> str:
    how = run.stored.how
    arguments = sorted({one.get("model_args") or "" for one in (how.get("passes") or {}).values()})
    return json.dumps([how.get("model"), how.get("prompt_style"), how.get("data_sha256"), arguments])


def _scores(run: ReportRun, variants: Sequence[ReportRun]) -> list[VariantScores]:
    if not variants:
        return []
    if not run.data:
        raise BadRun(f"{run.stored.name}: its variants need its questions; give them with --data")
    stored = [variant.stored for variant in variants]
    return scores_of_variants(read_questions(run.data, run.split), run.stored, stored)


def _compared(mains: Sequence[ReportRun], b: int) -> Compared:
    try:
        return Compared(0, b, compare_runs(mains[0].stored, mains[b].stored))
    except NotComparable as refusal:
        return Compared(0, b, None, str(refusal))
