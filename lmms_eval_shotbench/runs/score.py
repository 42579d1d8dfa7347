"""`shotbench score`: grade stored responses to questions, without a model.

`shotbench eval` uses the same functions, so both write the same scores; `score_formats.py` prints them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from lmms_eval_shotbench.grading.grade import Protocol, grade
from lmms_eval_shotbench.grading.reasoning_tags import REASONING_TAGS, ReasoningTags
from lmms_eval_shotbench.grading.rules import NO_RESPONSE
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.variants import variant_named_in
from lmms_eval_shotbench.runs.cost import Prices, cost_json
from lmms_eval_shotbench.runs.fault_warnings import fault_warnings
from lmms_eval_shotbench.runs.formatting import first_few
from lmms_eval_shotbench.runs.response_counts import (
    ResponseCounts,
    count_responses,
    not_measured_text,
    too_many_refusals,
)
from lmms_eval_shotbench.runs.responses import NOT_STORED, StoredResponse, StoredSamples, cut_at_limit
from lmms_eval_shotbench.scoring.metrics import Graded, Scores, score
from lmms_eval_shotbench.scoring.prior_aware import PriorAware, prior_aware
from lmms_eval_shotbench.scoring.several_samples import SampleScores, sample_scores

SCORES_FILES: dict[Protocol, str] = {"strict": "scores.json", "official": "scores.official.json"}  # in a run's folder
JUDGE, EXTRACTOR = "judge", "extractor: "  # rules of letters that a language model assigned


@dataclass(frozen=True)
class ScoredRun:
    """The scores of one run with all contents of scores.json."""

    protocol: Protocol
    graded: list[Graded]  # all items; with several samples, all items of the first sample, of the second and so on
    scores: Scores
    counts: ResponseCounts
    run: dict[str, Any] = field(default_factory=dict)  # provenance of the responses
    warnings: Sequence[str] = ()  # results that may mislead
    cost: dict[str, Any] | None = None  # `cost` of scores.json; None if nothing is known
    measured: bool = True  # False for a blind run with too many refusals, whose accuracy says nothing about the model

    @cached_property
    def prior_aware(self) -> PriorAware:
        """The scores relative to those possible without visual input."""
        return prior_aware(self.graded)

    @cached_property
    def samples(self) -> SampleScores:
        """The scores of several samples; with one sample, all of them equal the accuracy."""
        return sample_scores(self.graded)

    @property
    def k(self) -> int:
        """Number of samples of each item."""
        return len(self.graded) // self.scores.n

    @property
    def temperature(self) -> float | None:
        """Temperature of the samples; None if it is not recorded."""
        return self.run.get("temperature")

    @property
    def unanswered(self) -> list[QAItem]:
        """Items without any response, or of which a sample has no response."""
        failed = {entry.item.source_index for entry in self.graded if entry.grade.how == NO_RESPONSE}
        return [entry.item for entry in self.graded[: self.scores.n] if entry.item.source_index in failed]

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
    """Grade `responses[i]` as the response to `items[i]` and compute all scores; arguments as in `score_samples`."""
    sample = Sample(responses, judged or {}, extracted or {}, cut_at_limit or {})
    return score_samples(items, [sample], protocol, tags=tags, run=run)


class Sample(NamedTuple):
    """One response to each item, and what else is known of them by index of the question."""

    responses: Sequence[str]
    judged: Mapping[int, str] = {}  # letters that the official rules left undecided (see `grading/judge.py`)
    extracted: Mapping[int, str] = {}  # the same for strict grading (see `grading/extractor.py`)
    cut_at_limit: Mapping[int, bool] = {}  # whether the response was cut at the token limit; absent if unknown
    stored: Mapping[int, StoredResponse] = {}  # the responses with their tokens and times


def samples_of(items: Sequence[QAItem], stored: StoredSamples) -> list[Sample]:
    """Return stored responses in the order of the items; `NOT_STORED` stands for those that are missing."""
    return [
        Sample(
            [one[item.source_index].text if item.source_index in one else NOT_STORED for item in items],
            cut_at_limit=cut_at_limit(one),
            stored={item.source_index: one[item.source_index] for item in items if item.source_index in one},
        )
        for one in stored
    ]


def score_samples(
    items: Sequence[QAItem],
    samples: Sequence[Sample],
    protocol: Protocol = "strict",
    *,
    tags: ReasoningTags = REASONING_TAGS,
    run: Mapping[str, Any] | None = None,
    prices: Prices | None = None,
) -> ScoredRun:
    """Grade one or several responses to each item and compute all scores.

    Args:
        items: The questions.
        samples: Their responses: `samples[k].responses[i]` responds to `items[i]`.
        protocol: Grading protocol.
        tags: Pairs of tags around thoughts, for strict grading.
        run: Provenance of the responses.
        prices: Prices of tokens, for the cost.
    """
    graded: list[Graded] = []
    strict: list[Graded] = []
    failures: list[str] = []
    cut: dict[tuple[int, int], bool] = {}
    for number, sample in enumerate(samples, start=1):
        pairs = list(zip(items, sample.responses, strict=True))
        found = [Graded(item, grade(item, response, protocol, tags), number) for item, response in pairs]
        strict += (
            found
            if protocol == "strict"
            else [Graded(item, grade(item, response, tags=tags), number) for item, response in pairs]
        )
        graded += [_with_letter(entry, sample.judged, sample.extracted) for entry in found]
        failures += [text for entry, (_, text) in zip(found, pairs, strict=True) if entry.grade.how == NO_RESPONSE]
        cut |= {(index, number): value for index, value in sample.cut_at_limit.items()}
    counts = count_responses(strict, cut)
    blind = any(map(_is_blind, items))
    measured = not (blind and too_many_refusals(counts.refused, counts.n))
    warnings = [] if measured else [not_measured_text(counts.refused, counts.n)]
    warnings += fault_warnings(graded, counts, next(iter(failures), ""), blind)
    cost = cost_json((one for sample in samples for one in sample.stored.values()), prices)
    return ScoredRun(protocol, graded, score(graded), counts, dict(run or {}), warnings, cost, measured)


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
    return replace(entry, grade=replace(verdict, letter=letter, correct=letter == entry.item.answer, how=how))


def fingerprint(item: QAItem) -> str:
    """Return 16 hex digits that identify dimension, question, options and correct answer."""
    asked = json.dumps([item.dimension, item.question, item.options, item.answer])
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


def first_indices(items: Sequence[QAItem], most: int = 5) -> str:
    """Return the indices of the first `most` items, for a message."""
    return first_few([item.source_index for item in items], most)
