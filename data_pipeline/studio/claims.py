"""Build a `ShotTruth` from the terms that are certain and possible, and combine those of several frames of a shot."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeAlias

from lmms_eval_shotbench.labelling.truth import NOTHING, UNKNOWN, ShotTruth, TruthStatus
from lmms_eval_shotbench.vocabulary import Dimension

Terms: TypeAlias = tuple[set[str], set[str]]  # names of certain and of possible terms


def claim(dimension: Dimension, certain: Collection[str], possible: Collection[str] = ()) -> ShotTruth:
    """Return the truth if these terms are certainly true, those may be, and all others are not."""
    names = [term.name for term in dimension.terms]
    unsure = frozenset(possible) - frozenset(certain)
    if unknown := (unsure | frozenset(certain)) - frozenset(names):
        raise ValueError(f"{', '.join(sorted(unknown))}: no terms of {dimension.paper_name}")
    if certain:
        return ShotTruth(TruthStatus.LABELLED, ", ".join(name for name in names if name in certain), unsure)
    return ShotTruth(TruthStatus.UNCERTAIN, possible=unsure) if unsure else NOTHING


def exactly_one(dimension: Dimension, names: Collection[str]) -> ShotTruth:
    """Return the truth if exactly one of these terms is true; of no terms, nothing is known."""
    if not names:
        return UNKNOWN
    return claim(dimension, names) if len(names) == 1 else claim(dimension, (), names)


def over_time(dimension: Dimension, moments: Sequence[ShotTruth]) -> ShotTruth:
    """Return what holds at all moments; what holds at some of them only is possible."""
    certain = frozenset.intersection(*(moment.terms(dimension) for moment in moments))
    if UNKNOWN in moments and not certain:
        return UNKNOWN
    allowed = frozenset[str]().union(*(moment.possible | moment.terms(dimension) for moment in moments))
    return claim(dimension, certain, allowed)
