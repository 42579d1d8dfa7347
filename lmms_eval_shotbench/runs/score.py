"""`shotbench score`: grade stored responses to questions, without a model.

`shotbench eval` uses the same functions, so both write the same scores; `score_formats.py` prints them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from lmms_eval_shotbench.grading.grade import Protocol, grade
from lmms_eval_shotbench.grading.reasoning_tags import REASONING_TAGS, ReasoningTags
from lmms_eval_shotbench.grading.rules import NO_RESPONSE
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.variants import variant_named_in
from lmms_eval_shotbench.runs.fault_warnings import fault_warnings
from lmms_eval_shotbench.runs.formatting import first_few
from lmms_eval_shotbench.runs.response_counts import (
    ResponseCounts,
    count_responses,
    letter_shares,
    not_measured_text,
    too_many_refusals,
    undecided_by_rule,
)
from lmms_eval_shotbench.scoring.metrics import Graded, Scores, score
from lmms_eval_shotbench.scoring.prior_aware import PriorAware, prior_aware, prior_aware_json

SCHEMA = 1  # of scores.json; incremented when a field changes its meaning
SCORES_FILES: dict[Protocol, str] = {"strict": "scores.json", "official": "scores.official.json"}  # in a run's folder
ACCURACIES = ("accuracy", "chance_corrected", "compound", "single", "terms", "prior")  # null if not measured
JUDGE, EXTRACTOR = "judge", "extractor: "  # rules of letters that a language model assigned


@dataclass(frozen=True)
class ScoredRun:
    """The scores of one run with all contents of scores.json."""

    protocol: Protocol
    graded: list[Graded]
    scores: Scores
    counts: ResponseCounts
    run: dict[str, Any] = field(default_factory=dict)  # provenance of the responses
    warnings: Sequence[str] = ()  # results that may mislead
    measured: bool = True  # False for a blind run with too many refusals, whose accuracy says nothing about the model

    @cached_property
    def prior_aware(self) -> PriorAware:
        """The scores relative to those possible without visual input."""
        return prior_aware(self.graded)

    @property
    def unanswered(self) -> list[QAItem]:
        """Items without any response."""
        return [entry.item for entry in self.graded if entry.grade.how == NO_RESPONSE]

    @property
    def extracted(self) -> list[Graded]:
        """Items whose letter was assigned by the extractor."""
        return [entry for entry in self.graded if entry.grade.how.startswith(EXTRACTOR)]


def score_responses(
    items: Sequence[QAItem],
    responses: Sequence[str],
    protocol: Protocol = "strict",
    *,
    tags: ReasoningTags = REASONING_TAGS,
    judged: Mapping[int, str] | None = None,
    extracted: Mapping[int, str] | None = None,
    cut_at_limit: Mapping[int, bool] | None = None,
    run: Mapping[str, Any] | None = None,
) -> ScoredRun:
    """Grade `responses[i]` as the response to `items[i]` and compute all scores.

    Args:
        items: The questions.
        responses: Their responses.
        protocol: Grading protocol.
        tags: Pairs of tags around thoughts, for strict grading.
        judged: Letters by index for items that the official rules left undecided (see `grading/judge.py`).
        extracted: The same for strict grading (see `grading/extractor.py`).
        cut_at_limit: Whether the response was cut at the token limit, by index; absent if unknown.
        run: Provenance of the responses.
    """
    pairs = list(zip(items, responses, strict=True))
    graded = [Graded(item, grade(item, response, protocol, tags)) for item, response in pairs]
    strict = graded if protocol == "strict" else [Graded(item, grade(item, text, tags=tags)) for item, text in pairs]
    counts = count_responses(strict, cut_at_limit or {})
    graded = [_with_letter(entry, judged or {}, extracted or {}) for entry in graded]
    failures = (text for entry, (_, text) in zip(graded, pairs, strict=True) if entry.grade.how == NO_RESPONSE)
    blind = any(map(_is_blind, items))
    measured = not (blind and too_many_refusals(counts.refused, counts.n))
    warnings = [] if measured else [not_measured_text(counts.refused, counts.n)]
    warnings += fault_warnings(graded, counts, next(failures, ""), blind)
    return ScoredRun(protocol, graded, score(graded), counts, dict(run or {}), warnings, measured)


def _is_blind(item: QAItem) -> bool:
    variant = variant_named_in(item.item_id)
    return variant is not None and not variant.shows_media


def _with_letter(entry: Graded, judged: Mapping[int, str], extracted: Mapping[int, str]) -> Graded:
    """Replace the grade of an undecided response for which a language model found a letter."""
    index, verdict = entry.item.source_index, entry.grade
    letter = judged.get(index) or extracted.get(index)
    if verdict.letter is not None or letter is None:
        return entry
    how = JUDGE if index in judged else f"{EXTRACTOR}{verdict.how}"
    return Graded(entry.item, replace(verdict, letter=letter, correct=letter == entry.item.answer, how=how))


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
        "run": _run_json(scored),
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
    if not scored.measured:
        found |= {name: _without_accuracies(found[name]) for name in ACCURACIES}
    return found


def _run_json(scored: ScoredRun) -> dict[str, Any]:
    warnings = [*(scored.run.get("warnings") or ()), *scored.warnings]
    return scored.run | ({"warnings": warnings} if warnings else {})


def _without_accuracies(found: Any) -> Any:
    """Replace the model's accuracies by null; `accuracy` within `prior` is that of the option prior, and is kept."""
    if not isinstance(found, Mapping) or "low" in found:  # an estimate
        return None
    return {
        name: value if name == "accuracy" and "low" in value else _without_accuracies(value)
        for name, value in found.items()
    }


def fingerprint(item: QAItem) -> str:
    """Return 16 hex digits that identify dimension, question, options and correct answer."""
    asked = json.dumps([item.dimension, item.question, item.options, item.answer])
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


def first_indices(items: Sequence[QAItem], most: int = 5) -> str:
    """Return the indices of the first `most` items, for a message."""
    return first_few([item.source_index for item in items], most)
