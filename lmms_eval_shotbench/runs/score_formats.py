"""Formats of scores: a table for a terminal, CSV, and scores.json (docs/scores.md)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

from lmms_eval_shotbench.runs.response_counts import NOT_MEASURED, count_remarks
from lmms_eval_shotbench.runs.score import ScoredRun, first_indices, scores_json
from lmms_eval_shotbench.scoring.metrics import Estimate, Scores
from lmms_eval_shotbench.scoring.prior_aware import prior_remarks
from lmms_eval_shotbench.vocabulary import DIMENSIONS


def scores_csv(scored: ScoredRun) -> str:
    """Format CSV with one line per dimension and two for the averages, shares from 0 to 1; empty if not measured."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("name", "n", "accuracy", "low", "high", "stderr"))
    for name, estimate in _rows(scored.scores):
        numbers = [f"{value:.6f}" if scored.measured else "" for value in _numbers(estimate)]
        writer.writerow((name, estimate.n, *numbers))
    return text.getvalue()


def scores_table(scored: ScoredRun) -> str:
    """Format the table for a terminal, in percent."""
    names = {dimension.slug: dimension.paper_name for dimension in DIMENSIONS}
    names |= {"micro": "over items (micro)", "macro": "over dimensions (macro)"}
    lines = [f"{'':24}{'items':>7}{'accuracy':>10}{'95 % interval':>17}"]
    for name, estimate in _rows(scored.scores):
        lines += [""] if name == "micro" else []
        interval = f"{100 * estimate.low:.1f} – {100 * estimate.high:.1f}"
        accuracy = f"{100 * estimate.value:>9.2f} {interval:>17}" if scored.measured else f"{NOT_MEASURED:>27}"
        lines.append(f"{names[name]:24}{estimate.n:>7}{accuracy}")
    return "\n".join([*lines, "", *_remarks(scored)])


def _remarks(scored: ScoredRun) -> list[str]:
    scores = scored.scores
    remarks = [
        f"protocol {scored.protocol}: {scores.correct} of {scores.n} right, {100 * scores.answered_rate:.2f} % decided"
    ]
    if scored.measured:
        if scores.compound is not None:
            remarks.append(
                f"compound answers: {100 * scores.compound.value:.2f} % of {scores.compound.n} right, "
                f"term F1 {100 * (scores.compound_term_f1 or 0):.2f}"
            )
        remarks += prior_remarks(scored.prior_aware)
    remarks += count_remarks(scored.graded, scored.counts)
    if extracted := scored.extracted:
        correct = sum(entry.grade.correct for entry in extracted)
        remarks.append(f"letters assigned by the extractor: {len(extracted)}, of which {correct} right")
    if scored.unanswered:
        remarks.append(f"no response for {len(scored.unanswered)} items (index {first_indices(scored.unanswered)})")
    return remarks


def _rows(scores: Scores) -> list[tuple[str, Estimate]]:
    return [*scores.by_dimension.items(), ("micro", scores.micro), ("macro", scores.macro)]


def _numbers(estimate: Estimate) -> tuple[float, ...]:
    return estimate.value, estimate.low, estimate.high, estimate.stderr


FORMATS: dict[str, Callable[[ScoredRun], str]] = {
    "table": scores_table,
    "json": lambda scored: json.dumps(scores_json(scored), indent=1, ensure_ascii=False),
    "csv": scores_csv,
}
