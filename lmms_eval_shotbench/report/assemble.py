"""Assembly of a report: variants are assigned to their main run, runs on the same questions are compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lmms_eval_shotbench.grading.reasoning_tags import ReasoningTags
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.report.gather import ReportRun, read_report_run, with_unique_names
from lmms_eval_shotbench.report.published import asks_all_of_shotbench
from lmms_eval_shotbench.report.third_party import ThirdPartyRow, rows_beside
from lmms_eval_shotbench.report.training import TrainingCurves, is_training_run, read_training
from lmms_eval_shotbench.runs.compare import Comparison, NotComparable, compare_runs
from lmms_eval_shotbench.runs.cost import Prices
from lmms_eval_shotbench.runs.evaluated_sets import read_set_runs
from lmms_eval_shotbench.runs.robust import scores_of_variants
from lmms_eval_shotbench.runs.scores_schema import BadRun
from lmms_eval_shotbench.runs.stored_runs import sides
from lmms_eval_shotbench.runs.transfer import Transfer, transfer
from lmms_eval_shotbench.scoring.robustness import VariantScores


@dataclass(frozen=True)
class MainRun:
    """A run on the original questions, with the scores of its variants."""

    run: ReportRun
    variants: Sequence[VariantScores]


@dataclass(frozen=True)
class Compared:
    """Comparison of the main runs with indices `a` and `b`; if they cannot be compared, `refused` gives the reason."""

    a: int
    b: int
    found: Comparison | None
    refused: str = ""


@dataclass(frozen=True)
class ReportData:
    """All data of a report."""

    runs: Sequence[MainRun]
    compared: Sequence[Compared]  # every other run with the first
    training: Sequence[TrainingCurves]
    published: bool  # whether to include the published rows
    third_party: Sequence[ThirdPartyRow] = ()  # measured by others
    transfer: Transfer | None = None  # if the runs are on several sets


def read_report(
    arguments: Sequence[str],
    data: str | None = None,
    split: str | None = None,
    training: Sequence[Path] = (),
    published: bool | None = None,
    tags: ReasoningTags = (),
    prices: Prices | None = None,
    third_party: Sequence[ThirdPartyRow] = (),
) -> ReportData:
    """Read runs, training runs, or pairs of QUESTIONS RESPONSES, into a report; raises like their readers.

    `tags` are further tags of thoughts, for responses that are graded here; `prices` replace those of the runs;
    `third_party` are further rows measured by others.
    """
    trained = [Path(name) for name in arguments if is_training_run(Path(name))]
    others = [name for name in arguments if Path(name) not in trained]
    runs = [read_report_run(side.path, side.questions or data, split, tags, prices) for side in sides(others)]
    curves = [read_training(run) for run in dict.fromkeys([*trained, *training])]
    report = assemble(runs, curves, published, third_party)
    same_questions = all(one.found for one in report.compared)
    if same_questions or not all(run.items for run in runs):  # questions that are not here would be downloaded
        return report
    return replace(report, transfer=_transfer(others, data, split, tags))


def _transfer(arguments: Sequence[str], data: str | None, split: str | None, tags: ReasoningTags) -> Transfer | None:
    """Return the comparison across sets; None if there is one set, or runs cannot be assigned to models and sets."""
    try:
        return transfer(read_set_runs(arguments, [data] if data else [], split, tags=tags), common=True)
    except (BadRun, NotComparable):
        return None


def assemble(
    runs: Sequence[ReportRun],
    training: Sequence[TrainingCurves] = (),
    published: bool | None = None,
    third_party: Sequence[ThirdPartyRow] = (),
) -> ReportData:
    """Group and compare runs; by default, published rows are included if all of ShotBench was asked.

    Rows measured by others are `third_party` and, unless `published` is False, those of this package that `rows_beside`
    returns.

    Raises:
        BadRun: There is no run on the original questions, or a variant's run has no unique main run.
    """
    if training and not runs:
        return ReportData([], [], training, published=False, third_party=third_party)
    mains = with_unique_names([run for run in runs if not run.variant])
    if not mains:
        raise BadRun(f"{runs[0].stored.name} is a run of a variant; also give the run on the original questions")
    variants_of: list[list[ReportRun]] = [[] for _ in mains]
    for run in runs:
        if run.variant:
            variants_of[_main_index(run, mains)].append(run)
    asked_all = all(asks_all_of_shotbench(run.stored) for run in mains)
    beside = [] if published is False else rows_beside([run.stored for run in runs], published or asked_all)
    main_runs = [MainRun(run, _scores(run, own)) for run, own in zip(mains, variants_of, strict=True)]
    return ReportData(
        main_runs,
        [_compared(mains, b) for b in range(1, len(mains))],
        training,
        asked_all if published is None else published,
        [*beside, *third_party],
    )


def _main_index(variant: ReportRun, mains: Sequence[ReportRun]) -> int:
    """Return the index of the main run of the same model, arguments, prompt style and data; 0 if there is only one."""
    matching = [index for index, run in enumerate(mains) if _setup_key(run) == _setup_key(variant)]
    if len(mains) == 1:
        return 0
    if len(matching) != 1:
        raise BadRun(
            f"{variant.stored.name}: {len(matching)} of the runs have its model, arguments and prompt "
            "style; make a report of one run with its variants"
        )
    return matching[0]


def _setup_key(run: ReportRun) -> str:
    how = run.stored.how
    arguments = sorted({one.get("model_args") or "" for one in (how.get("passes") or {}).values()})
    return json.dumps([how.get("model"), how.get("prompt_style"), how.get("data_sha256"), arguments])


def _scores(run: ReportRun, variants: Sequence[ReportRun]) -> list[VariantScores]:
    if not variants:
        return []
    if not run.data:
        raise BadRun(f"{run.stored.name}: the questions are needed for its variants; give them with --data")
    stored = [variant.stored for variant in variants]
    return scores_of_variants(read_questions(run.data, run.split), run.stored, stored)


def _compared(mains: Sequence[ReportRun], b: int) -> Compared:
    try:
        return Compared(0, b, compare_runs(mains[0].stored, mains[b].stored))
    except NotComparable as refusal:
        return Compared(0, b, None, str(refusal))
