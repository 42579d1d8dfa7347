"""The GRPO reward of one response: binary format and accuracy terms, decided by the evaluation's grader.

    score = format * well_formed + paid * (accuracy * correct + compound * shared_parts)

`format`, `accuracy` and `compound` are weights (`RewardWeights`). `well_formed` and `correct` are 0 or 1,
`shared_parts` is 0 to 1 and nonzero only for a wrong option. `paid` is `well_formed` if `accuracy_needs_format` is set,
else 1.

`lmms_eval_shotbench.grading.grade` decides whether a response is well-formed and which letter it gives, so training and
evaluation use the same grader. This module defines the weights and the keys that verl logs;
`inside_verl/answer_reward.py` is verl's entry point.

Naming several options is not rewarded: the letter is extracted without knowledge of the correct one, so a response is
correct for at most one letter. `compound` weakens this, because an option that shares parts with many others is a safe
choice; it is 0 by default.

Imports only the standard library, because every reward worker imports this module.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.qa_item import BadRow, QAItem
from lmms_eval_shotbench.vocabulary import Label, Term, UnknownTerm, dimension_named

# Keys of each reward, all floats; verl's validation accuracy is `acc`.
KEYS = ("score", "acc", "format", "answered", "shared")


class RewardRefused(ValueError):
    """A row or the weights are invalid. Never raised because of a response: any text gets a score."""


@dataclass(frozen=True, slots=True)
class RewardWeights:
    """Weights of the terms. Only their ratio matters to GRPO, which divides by the standard deviation of a group."""

    format: float = 0.5  # half of accuracy: format must not outweigh accuracy within a group
    accuracy: float = 1.0
    compound: float = 0.0  # partial credit for a wrong option, multiplied by `shared_parts`
    accuracy_needs_format: bool = True  # if False, letters in free text are rewarded, which can be exploited

    def __post_init__(self) -> None:
        weights = {name: getattr(self, name) for name in ("format", "accuracy", "compound")}
        for name, weight in weights.items():
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
                raise RewardRefused(f"reward weight {name} is {weight!r}; it must be a number of 0 or more")
        if self.accuracy <= self.compound:
            raise RewardRefused(
                f"reward weight accuracy is {self.accuracy} and compound {self.compound}; "
                "a correct answer must be worth more than a part of one"
            )
        if not isinstance(self.accuracy_needs_format, bool):
            raise RewardRefused(f"accuracy_needs_format is {self.accuracy_needs_format!r}; use true or false")

    @property
    def full(self) -> float:
        """The reward of a well-formed correct answer."""
        return float(self.format + self.accuracy)

    @property
    def exact(self) -> bool:
        """Whether all rewards are multiples of 1/64, so that means of equal rewards are exact in float32.

        If not, a group of equal rewards gets a nonzero advantage: the float32 mean of twelve rewards of 1.1 is not 1.1.
        """
        return self.compound == 0 and all((64.0 * weight).is_integer() for weight in (self.format, self.accuracy))


DEFAULT_WEIGHTS = RewardWeights()


def reward_weights(**given: Any) -> RewardWeights:
    """The default weights with some replaced; raises `RewardRefused` for unknown names or invalid values."""
    if unknown := sorted(set(given).difference(RewardWeights.__slots__)):
        raise RewardRefused(
            f"{unknown[0]!r} is not a reward weight; the weights are {', '.join(RewardWeights.__slots__)}"
        )
    return replace(DEFAULT_WEIGHTS, **given)


def score_response(item: QAItem, response: object, weights: RewardWeights = DEFAULT_WEIGHTS) -> dict[str, float]:
    """Return the score of one response and its terms, by `KEYS`.

    Any value is accepted as `response`; one that is not a string is graded as an empty response.
    """
    graded = grade(item, response if isinstance(response, str) else "")
    chosen = item.choices[graded.letter] if graded.letter and not graded.correct else None
    shared = shared_parts(item.dimension, item.gold, chosen) if chosen else 0.0
    paid = graded.well_formed or not weights.accuracy_needs_format
    score = weights.format * graded.well_formed + paid * (weights.accuracy * graded.correct + weights.compound * shared)
    return {
        "score": float(score),
        "acc": float(graded.correct),
        "format": float(graded.well_formed),
        "answered": float(graded.letter is not None),
        "shared": shared,
    }


@lru_cache(maxsize=8192)  # a release has about 500 labels, and the same pairs recur
def shared_parts(dimension: str, gold: str, option: str) -> float:
    """Jaccard index (0 to 1) of the parts of a compound answer and those of an option; 0 if the answer is not compound.

    Parts are the terms, and each ordered pair of terms of consecutive steps. So the correct movements in the wrong
    order score below 1.

    Args:
        dimension: Slug of the dimension.
        gold: Label of the correct option.
        option: Label of the other option.
    """
    named = dimension_named(dimension)
    try:
        expected, given = named.parse(gold), named.parse(option)
    except UnknownTerm:  # yes and no are not terms
        return 0.0
    if not expected.is_compound:
        return 0.0
    return len(_parts(expected) & _parts(given)) / len(_parts(expected) | _parts(given))


def _parts(label: Label) -> set[Term | tuple[Term, Term]]:
    order = {(first, then) for before, after in pairwise(label.steps) for first in before for then in after}
    return {*label.terms, *order}


def item_of(extra_info: Mapping[str, Any] | None, ground_truth: object) -> QAItem:
    """The question of a training row; raises `RewardRefused` if it is missing or `ground_truth` is not its answer."""
    text = extra_info.get("item") if isinstance(extra_info, Mapping) else None
    if not isinstance(text, str):
        raise RewardRefused(
            "the row has no question in extra_info.item, so nothing can be graded; write rows with "
            "verl_recipes.training_rows (shotbench train does)"
        )
    item = _read_item(text)
    if ground_truth != item.answer:
        raise RewardRefused(
            f"{item.item_id}: reward_model.ground_truth is {ground_truth!r}, the answer of its question is "
            f"{item.answer!r}; write the rows again"
        )
    return item


@lru_cache(maxsize=4096)  # more than the prompts of a step, whose responses all arrive together
def _read_item(text: str) -> QAItem:
    try:
        return QAItem.from_row(json.loads(text))
    except (BadRow, json.JSONDecodeError, RecursionError, AttributeError, TypeError) as error:
        raise RewardRefused(f"extra_info.item is not a question: {error}; write the rows again") from error


def check_row(row: Mapping[str, Any], **weights: Any) -> None:
    """Raise `RewardRefused` if a GRPO row cannot be rewarded, or if its correct answer would not get the full reward.

    Called for every row before a run: verl drops a response whose reward raises, and trains on the rest.
    """
    chosen = reward_weights(**weights)
    reward_model = row.get("reward_model") or {}
    item = item_of(row.get("extra_info"), reward_model.get("ground_truth"))
    earned = score_response(item, f"<think>It shows.</think><answer>{item.answer}</answer>", chosen)["score"]
    if earned != chosen.full:
        raise RewardRefused(f"{item.item_id}: its correct answer earns {earned} instead of {chosen.full}")
