"""The reward of one response: its form and its answer, both binary, by the evaluation's own grader.

    score = format * (form is kept) + paid * (accuracy * (answer is right) + compound * (share of a compound answer))

`paid` is 1, or, with `accuracy_needs_format`, whether the form is kept. What the form is and which letter a response
answers is decided in `lmms_eval_shotbench.grading.grade`, so that what is trained is what is scored. This module
owns the weights and the keys that verl logs; `inside_verl/answer_reward.py` is verl's entry.

Why it cannot be hedged: the letter is read without looking at the right one, so a response is right for one letter at
most. `compound` gives that up (an option that shares parts with many others is a hedge) and is off unless asked for.

Standard library only: every reward worker imports this.
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

KEYS = ("score", "acc", "format", "answered", "shared")  # of every sample, all numbers; verl validates by `acc`


class RewardRefused(ValueError):
    """A row or weights that cannot be rewarded. A response is never refused: a bad one earns nothing."""


@dataclass(frozen=True, slots=True)
class RewardWeights:
    """What each part is worth. Only their ratio matters to GRPO, which divides by a group's deviation."""

    format: float = 0.5  # half of accuracy: a slip of form must not outweigh an answer within a group
    accuracy: float = 1.0
    compound: float = 0.0  # for a wrong option, times the share of parts it has in common with a compound answer
    accuracy_needs_format: bool = True  # or a letter in any free text is paid: more to exploit, nothing to gain

    def __post_init__(self) -> None:
        weights = {name: getattr(self, name) for name in ("format", "accuracy", "compound")}
        for name, weight in weights.items():
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
                raise RewardRefused(f"reward weight {name} is {weight!r}; it must be a number of 0 or more")
        if self.accuracy <= self.compound:
            raise RewardRefused(
                f"reward weight accuracy is {self.accuracy} and compound {self.compound}; "
                "a right answer must be worth more than a part of one"
            )
        if not isinstance(self.accuracy_needs_format, bool):
            raise RewardRefused(f"accuracy_needs_format is {self.accuracy_needs_format!r}; use true or false")

    @property
    def full(self) -> float:
        """The reward of a well-formed right answer."""
        return float(self.format + self.accuracy)

    @property
    def exact(self) -> bool:
        """Whether sums of the weights keep their value in single precision. If not, a group in which all earn the
        same gets an advantage other than zero: verl's mean of twelve times 1.1 is not 1.1."""
        return self.compound == 0 and all((64.0 * weight).is_integer() for weight in (self.format, self.accuracy))


DEFAULT_WEIGHTS = RewardWeights()


def reward_weights(**given: Any) -> RewardWeights:
    """The default weights with those given in their place; raise `RewardRefused` on what is none."""
    if unknown := sorted(set(given).difference(RewardWeights.__slots__)):
        raise RewardRefused(f"{unknown[0]!r} is no reward weight; there are {', '.join(RewardWeights.__slots__)}")
    return replace(DEFAULT_WEIGHTS, **given)


def score_response(item: QAItem, response: object, weights: RewardWeights = DEFAULT_WEIGHTS) -> dict[str, float]:
    """Reward one response and say what it was made of. Never raises; what is no text is an empty response."""
    read = grade(item, response if isinstance(response, str) else "")
    said = item.choices[read.letter] if read.letter and not read.correct else None
    shared = shared_parts(item.dimension, item.gold, said) if said else 0.0
    paid = read.well_formed or not weights.accuracy_needs_format
    score = weights.format * read.well_formed + paid * (weights.accuracy * read.correct + weights.compound * shared)
    return {
        "score": float(score),
        "acc": float(read.correct),
        "format": float(read.well_formed),
        "answered": float(read.letter is not None),
        "shared": shared,
    }


@lru_cache(maxsize=8192)  # about 500 labels in a release, and the same few stand beside each other
def shared_parts(dimension: str, gold: str, said: str) -> float:
    """How much of a compound answer another option says: parts in common by parts in all; 0 where the answer is one
    thing. That one step follows another is a part as well, so the right moves in the wrong order are not everything."""
    named = dimension_named(dimension)
    try:
        right, given = named.parse(gold), named.parse(said)
    except UnknownTerm:  # yes and no are no terms
        return 0.0
    if not right.is_compound:
        return 0.0
    return len(_parts(right) & _parts(given)) / len(_parts(right) | _parts(given))


def _parts(label: Label) -> set[Term | tuple[Term, Term]]:
    order = {(first, then) for before, after in pairwise(label.steps) for first in before for then in after}
    return {*label.terms, *order}


def item_of(extra_info: Mapping[str, Any] | None, ground_truth: object) -> QAItem:
    """The question of a training row; raise `RewardRefused` where there is none or its answer is another."""
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


@lru_cache(maxsize=4096)  # the twelve responses to a prompt arrive within a step, which holds fewer prompts than that
def _read_item(text: str) -> QAItem:
    try:
        return QAItem.from_row(json.loads(text))
    except (BadRow, json.JSONDecodeError, RecursionError, AttributeError, TypeError) as error:
        raise RewardRefused(f"extra_info.item is no question: {error}; write the rows again") from error


def check_row(row: Mapping[str, Any], **weights: Any) -> None:
    """Raise `RewardRefused` where a GRPO row could not be rewarded, or where its right answer would not earn all.

    To be asked of every row before a run: verl drops a response whose reward raises, and trains on the rest.
    """
    chosen = reward_weights(**weights)
    reward_model = row.get("reward_model") or {}
    item = item_of(row.get("extra_info"), reward_model.get("ground_truth"))
    earned = score_response(item, f"<think>It shows.</think><answer>{item.answer}</answer>", chosen)["score"]
    if earned != chosen.full:
        raise RewardRefused(f"{item.item_id}: its right answer earns {earned} instead of {chosen.full}")
