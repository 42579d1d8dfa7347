"""Formats of scores: a table for a terminal, CSV, and scores.json (docs/scores.md)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable

from lmms_eval_shotbench.runs.cost import cost_line
from lmms_eval_shotbench.runs.formatting import first_few
from lmms_eval_shotbench.runs.response_counts import NOT_MEASURED, count_remarks
from lmms_eval_shotbench.runs.score import ScoredRun, first_indices
from lmms_eval_shotbench.runs.scores_json import scores_json
from lmms_eval_shotbench.scoring.metrics import Estimate, Scores
from lmms_eval_shotbench.scoring.prior_aware import prior_remarks
from lmms_eval_shotbench.scoring.several_samples import shown_j
from lmms_eval_shotbench.vocabulary import DIMENSIONS


def scores_csv(scored: ScoredRun) -> str:
    """Format CSV with one line per dimension and two for the averages, shares from 0 to 1; empty if not measured.

    With several samples there are further columns for the majority vote and each pass@j.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    further = _of_samples(scored, range(1, scored.k + 1))
    writer.writerow(("name", "n", "accuracy", "low", "high", "stderr", *further))
    for name, estimate in _rows(scored.scores):
        values = [*_numbers(estimate), *(column[name].value for column in further.values())]
        writer.writerow((name, estimate.n, *(f"{value:.6f}" if scored.measured else "" for value in values)))
    return text.getvalue()


def scores_table(scored: ScoredRun) -> str:
    """Format the table for a terminal, in percent."""
    names = {dimension.slug: dimension.paper_name for dimension in DIMENSIONS}
    names |= {"micro": "over items (micro)", "macro": "over dimensions (macro)"}
    further = _of_samples(scored, [scored.k])
    lines = [f"{'':24}{'items':>7}{'accuracy':>10}{'95 % interval':>17}{''.join(f'{title:>10}' for title in further)}"]
    for name, estimate in _rows(scored.scores):
        lines += [""] if name == "micro" else []
        interval = f"{100 * estimate.low:.1f} – {100 * estimate.high:.1f}"
        accuracy = f"{100 * estimate.value:>9.2f} {interval:>17}" if scored.measured else f"{NOT_MEASURED:>27}"
        accuracy += "".join(f"{100 * column[name].value:>10.2f}" for column in further.values() if scored.measured)
        lines.append(f"{names[name]:24}{estimate.n:>7}{accuracy}")
    return "\n".join([*lines, "", *_remarks_on_scores(scored)])


def _remarks_on_scores(scored: ScoredRun) -> list[str]:
    scores = scored.scores
    remarks = [
        f"protocol {scored.protocol}: {scores.correct} of {len(scored.graded)} right, "
        f"{100 * scores.answered_rate:.2f} % decided"
    ]
    if scored.k > 1:
        remarks += _sample_remarks(scored)
    if scored.measured:
        if scores.compound is not None:
            remarks.append(
                f"compound answers: {100 * scores.compound.value:.2f} % of {scores.compound.n} right, "
                f"term F1 {100 * (scores.compound_term_f1 or 0):.2f}"
            )
        remarks += prior_remarks(scored.prior_aware)
    remarks += count_remarks(scored.graded, scored.counts)
    remarks += [line] if (line := cost_line(scored.cost)) else []
    if extracted := scored.extracted:
        correct = sum(entry.grade.correct for entry in extracted)
        remarks.append(f"letters assigned by the extractor: {len(extracted)}, of which {correct} right")
    if scored.unanswered:
        lacking = "no response" if scored.k == 1 else "a sample without response"
        remarks.append(f"{lacking} for {len(scored.unanswered)} items (index {first_indices(scored.unanswered)})")
    return remarks


def _sample_remarks(scored: ScoredRun) -> list[str]:
    """Return what the accuracies are of, and pass@j and the samples' accuracies over items."""
    at = "" if scored.temperature is None else f" at temperature {scored.temperature:g}"
    remarks = [
        f"{scored.k} samples of each item{at}: accuracy is the mean of the items' shares of correct ones, and "
        "intervals count each item once"
    ]
    if not scored.measured:
        return remarks
    samples = scored.samples
    passes = ", ".join(f"pass@{j} {100 * samples.pass_at[j].micro.value:.2f}" for j in shown_j(scored.k))
    alone = first_few([f"{100 * value:.2f}" for value in samples.micro_of_sample], 8)
    return [*remarks, f"over items: {passes}; each sample alone: {alone}"]


def _of_samples(scored: ScoredRun, passes: Iterable[int]) -> dict[str, dict[str, Estimate]]:
    """Return columns for the majority vote and these pass@j, with the rows of `_rows`; none with one sample."""
    if scored.k == 1:
        return {}
    columns = {"majority": scored.samples.majority}
    columns |= {f"pass@{j}": scored.samples.pass_at[j] for j in passes}
    return {title: {**one.by_dimension, "micro": one.micro, "macro": one.macro} for title, one in columns.items()}


def _rows(scores: Scores) -> list[tuple[str, Estimate]]:
    return [*scores.by_dimension.items(), ("micro", scores.micro), ("macro", scores.macro)]


def _numbers(estimate: Estimate) -> tuple[float, ...]:
    return estimate.value, estimate.low, estimate.high, estimate.stderr


FORMATS: dict[str, Callable[[ScoredRun], str]] = {
    "table": scores_table,
    "json": lambda scored: json.dumps(scores_json(scored), indent=1, ensure_ascii=False),
    "csv": scores_csv,
}
