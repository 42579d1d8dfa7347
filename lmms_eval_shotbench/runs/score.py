"""`shotbench score`: grade stored responses to questions, without a model.

`shotbench eval` uses the same functions, so both print and write the same scores.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from lmms_eval_shotbench.grading.grade import Protocol, grade
from lmms_eval_shotbench.grading.strict import has_response
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.runs.formatting import first_few
from lmms_eval_shotbench.scoring.metrics import Estimate, Graded, Scores, score
from lmms_eval_shotbench.scoring.prior_aware import PriorAware, prior_aware, prior_aware_json, prior_remarks
from lmms_eval_shotbench.vocabulary import DIMENSIONS

SCHEMA = 1  # of scores.json; incremented when a field changes its meaning
SCORES_FILES: dict[Protocol, str] = {"strict": "scores.json", "official": "scores.official.json"}  # in a run's folder


@dataclass(frozen=True)
class ScoredRun:
    """The scores of one run with all contents of scores.json."""

    protocol: Protocol
    graded: list[Graded]
    scores: Scores
    unanswered: list[QAItem]  # items without any response
    run: dict[str, Any] = field(default_factory=dict)  # provenance of the responses

    @cached_property
    def prior_aware(self) -> PriorAware:
        """The scores relative to those possible without visual input."""
        return prior_aware(self.graded)


def score_responses(
    items: Sequence[QAItem],
    responses: Sequence[str],
    protocol: Protocol = "strict",
    *,
    judged: Mapping[int, str] | None = None,
    run: Mapping[str, Any] | None = None,
) -> ScoredRun:
    """Grade `responses[i]` as the response to `items[i]` and compute all scores.

    `judged` gives letters by index for items that the official rules left undecided (see `grading/judge.py`).
    """
    graded = []
    for item, response in zip(items, responses, strict=True):
        verdict = grade(item, response, protocol)
        letter = (judged or {}).get(item.source_index)
        if verdict.letter is None and letter is not None:
            verdict = type(verdict)(letter, letter == item.answer, "judge", verdict.well_formed)
        graded.append(Graded(item, verdict))
    unanswered = [item for item, response in zip(items, responses, strict=True) if not has_response(response)]
    return ScoredRun(protocol, graded, score(graded), unanswered, dict(run or {}))


def scores_json(scored: ScoredRun) -> dict[str, Any]:
    """Return the contents of scores.json (docs/scores.md)."""
    scores = scored.scores
    compound = None if scores.compound is None else asdict(scores.compound) | {"term_f1": scores.compound_term_f1}
    return {
        "schema": SCHEMA,
        "protocol": scored.protocol,
        "accuracy": {
            "micro": asdict(scores.micro),
            "macro": asdict(scores.macro),
            "by_dimension": {slug: asdict(estimate) for slug, estimate in scores.by_dimension.items()},
        },
        "correct": scores.correct,
        "n": scores.n,
        "answered_rate": scores.answered_rate,
        "well_formed_rate": scores.well_formed_rate,
        "unanswered": [item.source_index for item in scored.unanswered],
        "compound": compound,
        **prior_aware_json(scored.prior_aware),
        "run": scored.run,
        "items": [
            {
                "index": entry.item.source_index,
                "item_id": entry.item.item_id,
                "dimension": entry.item.dimension,
                "medium": entry.item.medium,
                "asked": fingerprint(entry.item),
                "answer": entry.item.answer,
                "letter": entry.grade.letter,
                "correct": entry.grade.correct,
                "how": entry.grade.how,
            }
            for entry in scored.graded
        ],
    }


def fingerprint(item: QAItem) -> str:
    """Return 16 hex digits that identify dimension, question, options and correct answer."""
    asked = json.dumps([item.dimension, item.question, item.options, item.answer])
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


def scores_csv(scored: ScoredRun) -> str:
    """Format CSV with one line per dimension and two for the averages, shares from 0 to 1."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("name", "n", "accuracy", "low", "high", "stderr"))
    for name, estimate in _rows(scored.scores):
        writer.writerow((name, estimate.n, *(f"{value:.6f}" for value in _numbers(estimate))))
    return text.getvalue()


def scores_table(scored: ScoredRun) -> str:
    """Format the table for a terminal, in percent."""
    names = {dimension.slug: dimension.paper_name for dimension in DIMENSIONS}
    names |= {"micro": "over items (micro)", "macro": "over dimensions (macro)"}
    lines = [f"{'':24}{'items':>7}{'accuracy':>10}{'95 % interval':>17}"]
    for name, estimate in _rows(scored.scores):
        lines += [""] if name == "micro" else []
        interval = f"{100 * estimate.low:.1f} – {100 * estimate.high:.1f}"
        lines.append(f"{names[name]:24}{estimate.n:>7}{100 * estimate.value:>9.2f} {interval:>17}")
    return "\n".join([*lines, "", *_remarks(scored)])


def _remarks(scored: ScoredRun) -> list[str]:
    scores = scored.scores
    remarks = [
        f"protocol {scored.protocol}: {scores.correct} of {scores.n} right, {100 * scores.answered_rate:.2f} % decided"
    ]
    if scores.compound is not None:
        remarks.append(
            f"compound answers: {100 * scores.compound.value:.2f} % of {scores.compound.n} right, "
            f"term F1 {100 * (scores.compound_term_f1 or 0):.2f}"
        )
    remarks += prior_remarks(scored.prior_aware)
    if scored.unanswered:
        remarks.append(f"no response for {len(scored.unanswered)} items (index {first_indices(scored.unanswered)})")
    return remarks


def first_indices(items: Sequence[QAItem], most: int = 5) -> str:
    """Return the indices of the first `most` items, for a message."""
    return first_few([item.source_index for item in items], most)


def _rows(scores: Scores) -> list[tuple[str, Estimate]]:
    return [*scores.by_dimension.items(), ("micro", scores.micro), ("macro", scores.macro)]


def _numbers(estimate: Estimate) -> tuple[float, ...]:
    return estimate.value, estimate.low, estimate.high, estimate.stderr


FORMATS = {
    "table": scores_table,
    "json": lambda scored: json.dumps(scores_json(scored), indent=1, ensure_ascii=False),
    "csv": scores_csv,
}
