"""The contents of scores.json (docs/scores.md); `scores.schema.json` is their specification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from statistics import fmean
from typing import Any

from lmms_eval_shotbench.runs.response_counts import letter_shares, undecided_by_rule
from lmms_eval_shotbench.runs.score import ScoredRun, fingerprint
from lmms_eval_shotbench.scoring.prior_aware import prior_aware_json
from lmms_eval_shotbench.scoring.several_samples import split_samples

SCHEMA = 1  # of scores.json; incremented when a field changes its meaning
# Null if not measured
ACCURACIES = ("accuracy", "chance_corrected", "compound", "single", "terms", "prior", "samples")


def scores_json(scored: ScoredRun) -> dict[str, Any]:
    """Return the contents of scores.json (docs/scores.md)."""
    scores = scored.scores
    compound = None if scores.compound is None else asdict(scores.compound) | {"term_f1": scores.compound_term_f1}
    found = {
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
        "undecided_by_rule": undecided_by_rule(scored.graded),
        "response_counts": {name: value for name, value in asdict(scored.counts).items() if name != "n"},
        "letters": {letter: asdict(share) for letter, share in letter_shares(scored.graded).items()},
        "extracted": {
            "letters": len(scored.extracted),
            "correct": sum(entry.grade.correct for entry in scored.extracted),
        },
        "compound": compound,
        **prior_aware_json(scored.prior_aware),
        **({"cost": scored.cost} if scored.cost else {}),
        "run": _run_json(scored),
        **({"samples": _samples_json(scored)} if scored.k > 1 else {}),
        "items": _items_json(scored),
    }
    if not scored.measured:
        found |= {name: _without_accuracies(found[name]) for name in ACCURACIES if name in found}
    return found


def _samples_json(scored: ScoredRun) -> dict[str, Any]:
    samples = scored.samples
    return {
        "k": samples.k,
        "temperature": scored.temperature,
        "micro_of_sample": samples.micro_of_sample,
        "majority": asdict(samples.majority),
        "pass_at": {str(j): asdict(averages) for j, averages in samples.pass_at.items()},
    }


def _items_json(scored: ScoredRun) -> list[dict[str, Any]]:
    """Return `items[]` of scores.json; of several samples, the answer is their majority vote."""
    answers = scored.graded if scored.k == 1 else scored.samples.votes
    several = zip(*split_samples(scored.graded), strict=True)
    return [
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
        | (
            {
                "letters": [one.grade.letter for one in samples],
                "share_correct": fmean(one.grade.correct for one in samples),
            }
            if scored.k > 1
            else {}
        )
        for entry, samples in zip(answers, several, strict=True)
    ]


def _run_json(scored: ScoredRun) -> dict[str, Any]:
    warnings = [*(scored.run.get("warnings") or ()), *scored.warnings]
    return scored.run | ({"warnings": warnings} if warnings else {})


def _without_accuracies(found: Any) -> Any:
    """Replace the model's accuracies by null; `accuracy` within `prior` is that of the option prior, and is kept."""
    if isinstance(found, (int, float)):  # the settings of samples
        return found
    if not isinstance(found, Mapping) or "low" in found:  # an estimate
        return None
    return {
        name: value if name == "accuracy" and "low" in value else _without_accuracies(value)
        for name, value in found.items()
    }
