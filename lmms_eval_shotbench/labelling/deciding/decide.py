"""From votes to a cell: which label, how certain it is, or that there is none.

Size, framing, angle, lens and composition get the most probable term. Light gets several if several are probably true,
at most one of a facet and none that contradicts another. Movement gets a second term if a second one was asked for and
found.

A cell is NONE if "none" is more probable than that its label is right; UNSURE if the answer that wins is less probable
than `min_confidence`, or if a label is likelier than the calibration allows to stand where there should be none; else
LABELLED. Without a calibration the probabilities are those of the votes, and "none" wins only if votes name it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lmms_eval_shotbench.labelling.deciding.calibration import Calibration, CellCalibration
from lmms_eval_shotbench.labelling.deciding.contradictions import reason_against
from lmms_eval_shotbench.labelling.deciding.pooled_votes import (
    PooledVotes,
    cell_features,
    favourite,
    pool,
    source_name,
    term_features,
)
from lmms_eval_shotbench.labelling.label_cell import LabelCell, Status
from lmms_eval_shotbench.labelling.vote import NO_TERM, Vote, Way
from lmms_eval_shotbench.vocabulary import SEVERAL_TERMS, Dimension, Label

ADDED_TERM = 0.7  # probability from which a further term is named: a wrong one spoils a label that was right without it
ADDED_SHARE = 0.5  # without a calibration: of light as a share of the first term's probability, of movement as it is
ALTERNATIVES = 5
NEVER = 1.1  # above every confidence
PREFERRED_WAYS = (Way.PROBABILITY, Way.LETTER, Way.TERM)  # without a calibration


@dataclass(frozen=True)
class Guess:
    """The best answer of some votes about one dimension of a shot, before any threshold."""

    terms: tuple[str, ...]  # of the label, most probable first
    label: str  # in the vocabulary's spelling
    joint: float  # probability that all its terms are true, if they are independent
    right: float  # probability that the label is right
    none: float  # probability that no term is true
    others: tuple[tuple[str, float], ...]  # other terms with their probability, most probable first

    @property
    def is_none(self) -> bool:
        """Whether "none" is the best answer."""
        return self.none > self.right

    @property
    def confidence(self) -> float:
        """Probability that the best answer is right."""
        return max(self.none, self.right)

    def is_allowed(self, max_none: float) -> bool:
        """Whether it is "none", or a label where "none" is not likelier than this."""
        return self.is_none or self.none <= max_none


def decide(
    dimension: Dimension,
    votes: Sequence[Vote],
    calibration: Calibration | None = None,
    min_confidence: float | None = 0.0,
) -> LabelCell:
    """Return the cell of one dimension of a shot.

    Args:
        dimension: The dimension; votes on others are ignored.
        votes: All votes on the shot, of one or several models and ways; of each model one way counts, the one that the
            calibration found best.
        calibration: Turns votes into probabilities; None: they are taken as they are.
        min_confidence: Confidence, 0 to 1, below which a person is asked; None: the calibration's own threshold.

    Returns:
        The cell; unsure and without a label if there are no votes, as for a broken medium.
    """
    counted = counted_votes(dimension, votes, calibration)
    if not any(not vote.second for vote in counted):
        return LabelCell(Status.UNSURE)
    pooled, fitted = _calibrated(dimension, counted, calibration)
    guess = best_guess(dimension, pooled, fitted)
    if min_confidence is None:  # a calibration without a threshold found none that reaches its target
        min_confidence = 0.0 if fitted is None else NEVER if fitted.min_confidence is None else fitted.min_confidence
    if guess.confidence < min_confidence or not guess.is_allowed(fitted.max_none if fitted else 1.0):
        status = Status.UNSURE
    else:
        status = Status.NONE if guess.is_none else Status.LABELLED
    everyone = pool(dimension, counted)
    named = NO_TERM in everyone.favourites or any(NO_TERM in vote.probabilities for vote in counted if not vote.second)
    alternatives = ((guess.label, guess.right), *guess.others) if guess.is_none else guess.others
    return LabelCell(
        status,
        "" if guess.is_none else guess.label,
        guess.confidence,
        # No vote can agree with "none" where votes cannot name it.
        None if guess.is_none and not named else everyone.agreement([NO_TERM] if guess.is_none else guess.terms),
        pooled.source,
        alternatives[:ALTERNATIVES],
    )


def counted_votes(dimension: Dimension, votes: Sequence[Vote], calibration: Calibration | None = None) -> list[Vote]:
    """The votes on a dimension that count: of each model those of the best way of asking that it was asked in."""
    relevant = [vote for vote in votes if vote.dimension == dimension.slug]
    ways: dict[str, list[Way]] = {}
    for vote in relevant:
        ways.setdefault(vote.model, []).append(vote.way)
    best = {}
    for model, used in ways.items():
        preferred = calibration.best_way(dimension.slug, model) if calibration else None
        best[model] = next(way for way in (preferred, *PREFERRED_WAYS) if way in used)
    return [vote for vote in relevant if vote.way is best[vote.model]]


def uncalibrated_slugs(votes: Iterable[Vote], calibration: Calibration) -> list[str]:
    """Slugs of the dimensions that have votes, but no calibration of a model and way that they are by."""
    sources: dict[str, set[str]] = {}
    for vote in votes:
        sources.setdefault(vote.dimension, set()).add(source_name(vote.model, vote.way))
    return [slug for slug, names in sources.items() if not any(calibration.of(slug, name) for name in names)]


def _calibrated(
    dimension: Dimension, votes: Sequence[Vote], calibration: Calibration | None
) -> tuple[PooledVotes, CellCalibration | None]:
    """The votes of all models with their joint calibration; else those of the first model that has one; else all."""
    everyone = pool(dimension, votes)
    if calibration is None:
        return everyone, None
    if fitted := calibration.of(dimension.slug, everyone.source):
        return everyone, fitted
    for source in dict.fromkeys(source_name(vote.model, vote.way) for vote in votes):
        if fitted := calibration.of(dimension.slug, source):
            return pool(dimension, [vote for vote in votes if source_name(vote.model, vote.way) == source]), fitted
    return everyone, None


def best_guess(dimension: Dimension, pooled: PooledVotes, fitted: CellCalibration | None) -> Guess:
    """The best answer of pooled votes, with calibrated probabilities if there is a calibration."""
    if fitted and fitted.terms:
        pooled = fitted.terms.applied(pooled)
    shares = _shares_of_terms(dimension, pooled, fitted)
    first = favourite(shares)
    added = _added_terms(dimension, pooled, fitted, shares, first)
    terms = [first, *added]
    joint = math.prod([shares[first], *added.values()])
    none, right = pooled.none, pooled.terms[first]
    if fitted:
        features = cell_features(pooled, terms, joint)
        none = fitted.none.probability(features) if fitted.none else pooled.none
        right = fitted.right.probability(features)
    others = [term for term in sorted(shares, key=lambda term: -shares[term]) if term not in terms]
    if dimension in SEVERAL_TERMS and fitted and fitted.term:
        rest = {term: (1 - none) * shares[term] for term in others}  # each may be true beside the label
    else:  # they share what the label leaves
        total = math.fsum(pooled.terms[term] for term in others)
        left = (1 - none) * (1 - right)
        rest = {term: left * pooled.terms[term] / total if total > 0 else 0.0 for term in others}
    return Guess(
        tuple(terms),
        _label(dimension, pooled, terms),
        joint,
        (1 - none) * right,
        none,
        tuple(rest.items())[:ALTERNATIVES],
    )


def _shares_of_terms(dimension: Dimension, pooled: PooledVotes, fitted: CellCalibration | None) -> Mapping[str, float]:
    """Probability of each term: of several simultaneous ones calibrated one by one, else as voted."""
    if dimension not in SEVERAL_TERMS or fitted is None or fitted.term is None:
        return pooled.terms
    return {term: fitted.term.probability(features) for term, features in simultaneous_features(pooled).items()}


def simultaneous_features(pooled: PooledVotes) -> dict[str, dict[str, float]]:
    """Features of every term of a dimension in which several are true at once."""
    best = max(pooled.terms.values())
    return {term: term_features(share, best, pooled.none, term) for term, share in pooled.terms.items()}


def second_candidate(dimension: Dimension, pooled: PooledVotes, first: str) -> tuple[str, dict[str, float]] | None:
    """The most probable second movement beside the first, with its features; None if none was asked for or fits."""
    if pooled.second is None or pooled.second.first not in ("", first):
        return None
    shares = {
        term: share
        for term, share in pooled.second.shares.items()
        if term not in (NO_TERM, first) and not _exclude(dimension, first, term)
    }
    if not shares:
        return None
    term = favourite(shares)
    return term, term_features(shares[term], 1.0, pooled.second.shares.get(NO_TERM, 0.0), term)


def _label(dimension: Dimension, pooled: PooledVotes, terms: Sequence[str]) -> str:
    """The label of some terms, in the order that votes on a second movement found."""
    if pooled.second and (ordered := pooled.second.labels.get(terms[-1])):
        label = dimension.parse(ordered)
        if {term.name for term in label.terms} == set(terms):
            return str(dimension.canonical(label))
    return str(dimension.canonical(Label((tuple(dimension.term(term) for term in terms),))))


def _added_terms(
    dimension: Dimension,
    pooled: PooledVotes,
    fitted: CellCalibration | None,
    shares: Mapping[str, float],
    first: str,
) -> dict[str, float]:
    """Terms beside the first, with their probability."""
    if pooled.second and (candidate := second_candidate(dimension, pooled, first)):
        term, features = candidate
        share = fitted.term.probability(features) if fitted and fitted.term else pooled.second.shares[term]
        return {term: share} if share >= (ADDED_TERM if fitted and fitted.term else ADDED_SHARE) else {}
    if dimension not in SEVERAL_TERMS:
        return {}
    least = ADDED_TERM if fitted and fitted.term else ADDED_SHARE * shares[first]
    chosen = [first]
    for term in sorted(shares, key=lambda term: -shares[term]):
        if shares[term] >= least and not any(term == one or _exclude(dimension, one, term) for one in chosen):
            chosen.append(term)
    return {term: shares[term] for term in chosen[1:]}


def _exclude(dimension: Dimension, one: str, other: str) -> bool:
    return bool(reason_against((dimension, dimension.term(one)), (dimension, dimension.term(other))))
