"""Asking for a second camera movement once the first is known: by the probability of labels of both.

The labels that begin with or contain the first movement are compared: it alone, "FIRST, OTHER" (at once), "Firstly
FIRST, then OTHER" and "Firstly OTHER, then FIRST". The probability of the first alone is that of the label ending there
(`naming.longest_match`), which only a checkpoint knows that was taught what ends a label.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from lmms_eval_shotbench.labelling.asking.naming import NamingQuestions, NamingRule
from lmms_eval_shotbench.labelling.asking.shot_views import VIEWS, ShotView, label_as_filmed, term_as_filmed
from lmms_eval_shotbench.labelling.vote import NO_TERM, Vote
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, MediaKind


class SecondMovement(NamedTuple):
    """Probabilities of a second movement, and the most probable label with each."""

    probabilities: dict[str, float]  # by name of the term; `NO_TERM`: there is none
    labels: dict[str, str]  # by name of the term, as filmed


def first_movement(votes: Sequence[Vote]) -> str | None:
    """The most probable movement by the mean of votes; None if there are no votes, or it is `NO_TERM`."""
    total: Counter[str] = Counter()
    for vote in votes:
        if vote.dimension == CAMERA_MOVEMENT.slug:
            total.update(vote.probabilities)
    best = max(total, key=lambda name: total[name], default=NO_TERM)
    return None if best == NO_TERM else best


def second_movement_questions(processor: Any, rule: NamingRule, first: str) -> NamingQuestions:
    """The question whose continuations are the labels of one or two movements with `first`, in all views."""
    shown = dict.fromkeys(term_as_filmed(first, CAMERA_MOVEMENT, view) for view in VIEWS[MediaKind.CLIP])
    labels = list(dict.fromkeys(label for name in shown for label in _labels_with(name)))
    return NamingQuestions(processor, MediaKind.CLIP, [CAMERA_MOVEMENT], rule, {CAMERA_MOVEMENT.slug: labels})


def _labels_with(first: str) -> list[str]:
    others = [term.name for term in CAMERA_MOVEMENT.terms if term.name != first]
    pairs = [(first, other) for other in others]
    ordered = [*pairs, *((other, first) for other in others)]
    return [first, *(f"{one}, {other}" for one, other in ordered), *(f"Firstly {a}, then {b}" for a, b in ordered)]


def second_movement(first: str, labels: Sequence[str], values: Sequence[float], view: ShotView) -> SecondMovement:
    """Return what log-probabilities of labels in a view say about a second movement beside the first, as filmed."""
    found = [
        (other, label, value)
        for (other, label), value in zip(_meanings(first, tuple(labels), view), values, strict=True)
        if other is not None
    ]
    highest = max(value for _other, _label, value in found)
    shares: dict[str, float] = defaultdict(float)
    best: dict[str, tuple[float, str]] = {}
    for other, label, value in found:
        shares[other] += math.exp(value - highest)
        best[other] = max(best.get(other, (-math.inf, "")), (value, label))
    total = sum(shares.values())
    return SecondMovement(
        {other: share / total for other, share in shares.items()},
        {other: label for other, (_value, label) in best.items() if other != NO_TERM},
    )


@lru_cache(maxsize=256)
def _meanings(first: str, labels: tuple[str, ...], view: ShotView) -> list[tuple[str | None, str]]:
    """For each label of a view: the movement beside `first` (`NO_TERM`: none; None: first is not in it), as filmed."""
    meanings: list[tuple[str | None, str]] = []
    for text in labels:
        label = CAMERA_MOVEMENT.parse(label_as_filmed(text, CAMERA_MOVEMENT, view))
        names = {term.name for term in label.terms}
        other = next(iter(names - {first}), NO_TERM) if first in names else None
        meanings.append((other, str(label)))
    return meanings
