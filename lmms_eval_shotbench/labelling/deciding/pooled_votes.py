"""Votes put together: one distribution over the terms of a dimension, and features that predict its accuracy.

Votes of one model and way are averaged over views and media; several models then count the same, however many votes
each has. A vote on a second movement is pooled separately.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from lmms_eval_shotbench.labelling.vote import NO_TERM, Vote, Way
from lmms_eval_shotbench.vocabulary import Dimension

SMALLEST = 1e-4  # probabilities are kept this far from 0 and 1 in logarithms: beyond, differences are rounding

SOURCE_SEPARATOR = " + "  # between the names of sources that are pooled


@dataclass(frozen=True)
class SecondVotes:
    """What votes say about a second movement."""

    first: str  # the movement beside which it was asked for; empty: the votes do not state it
    shares: Mapping[str, float]  # probability of each term, and of NO_TERM: there is no second movement
    labels: Mapping[str, str]  # label of both movements, by the second one, if the votes state their order


@dataclass(frozen=True)
class PooledVotes:
    """What the votes of one or several sources say about one dimension of a shot."""

    source: str  # names of the models with the way each was asked, joined by `SOURCE_SEPARATOR`
    terms: Mapping[str, float]  # probability of every term, in the vocabulary's order, if one is true; they sum to 1
    none: float  # probability that no term is true, as voted; 0 if that could not be answered
    favourites: tuple[str, ...]  # of each vote, the term (or NO_TERM) with the highest probability
    spread: Mapping[str, float]  # standard deviation over the votes of the log-probability of each term
    second: SecondVotes | None  # None: a second movement was not asked for

    @property
    def ranked(self) -> list[str]:
        """The terms, most probable first."""
        return sorted(self.terms, key=lambda term: -self.terms[term])

    def agreement(self, answers: Iterable[str]) -> float:
        """Share of votes whose favourite is one of the answers."""
        return fmean(favourite in set(answers) for favourite in self.favourites)


def source_name(model: str, way: Way) -> str:
    """Name of a model asked in one way, as in `LabelCell.source` and in calibration files."""
    return f"{model} by {way}"


def pool(dimension: Dimension, votes: Sequence[Vote]) -> PooledVotes:
    """Put votes on one dimension of one shot together; at least one must not be about a second movement."""
    first = [vote for vote in votes if not vote.second]
    shares = _mean_share(first)
    total = math.fsum(shares.get(term.name, 0.0) for term in dimension.terms)
    return PooledVotes(
        SOURCE_SEPARATOR.join(dict.fromkeys(source_name(vote.model, vote.way) for vote in first)),
        {
            term.name: shares.get(term.name, 0.0) / total if total > 0 else 1 / len(dimension.terms)
            for term in dimension.terms
        },
        shares.get(NO_TERM, 0.0),
        tuple(favourite(vote.probabilities) for vote in first),
        {
            term.name: _deviation([math.log(max(vote.probabilities.get(term.name, 0.0), SMALLEST)) for vote in first])
            for term in dimension.terms
        },
        _pool_second([vote for vote in votes if vote.second]),
    )


def _deviation(values: Sequence[float]) -> float:
    """Standard deviation of the population; `statistics.pstdev` computes it with fractions, which takes much longer."""
    mean = fmean(values)
    return math.sqrt(fmean([(value - mean) ** 2 for value in values]))


def _pool_second(votes: Sequence[Vote]) -> SecondVotes | None:
    if not votes:
        return None
    firsts = [str(vote.details.get("first", "")) for vote in votes]
    first = max(firsts, key=firsts.count)  # models may have asked beside different ones
    votes = [vote for vote, beside in zip(votes, firsts, strict=True) if beside == first]
    labels: defaultdict[str, list[str]] = defaultdict(list)
    for vote in votes:
        for term, label in vote.details.get("labels", {}).items():
            labels[term].append(label)
    return SecondVotes(first, _mean_share(votes), {term: max(some, key=some.count) for term, some in labels.items()})


def favourite(shares: Mapping[str, float]) -> str:
    """The answer with the highest probability."""
    return max(shares, key=lambda answer: shares[answer])


def _mean_share(votes: Sequence[Vote]) -> dict[str, float]:
    by_source: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
    for vote in votes:
        by_source[source_name(vote.model, vote.way)].append(vote.probabilities)
    return _mean([_mean(shares) for shares in by_source.values()]) if votes else {}


def _mean(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    answers = dict.fromkeys(answer for one in shares for answer in one)
    return {answer: fmean(one.get(answer, 0.0) for one in shares) for answer in answers}


def cell_features(pooled: PooledVotes, chosen: Sequence[str], joint: float) -> dict[str, float]:
    """Features that predict whether the chosen terms are right, and whether any term is true.

    Args:
        pooled: The votes.
        chosen: Terms of the label, the most probable first.
        joint: Probability that all of them are true, if they are independent.

    Returns:
        Numbers by name. `is TERM` stands for the first term: models have terms that they name too often.
    """
    shares = sorted(pooled.terms.values(), reverse=True)
    return {
        "top": logit(pooled.terms[chosen[0]]),
        "joint": logit(joint) - logit(pooled.terms[chosen[0]]),  # 0 where a label is one term as voted
        "margin": math.log(max(shares[0], SMALLEST) / max(shares[1], SMALLEST)),
        "entropy": -math.fsum(share * math.log(share) for share in shares if share > 0) / math.log(len(shares)),
        "none": logit(pooled.none),
        "agreement": pooled.agreement(chosen),
        "terms": float(len(chosen)),
        f"is {chosen[0]}": 1.0,
    }


def term_features(share: float, best: float, none: float, term: str) -> dict[str, float]:
    """Features that predict whether one of several simultaneous terms is true.

    Args:
        share: Its probability.
        best: That of the most probable term.
        none: Probability that there is no term, or no second one.
        term: Its name.
    """
    to_best = math.log(max(share, SMALLEST) / max(best, SMALLEST))
    return {"share": logit(share), "to best": to_best, "none": logit(none), f"is {term}": 1.0}


def logit(probability: float) -> float:
    """Log-odds, within the range that `SMALLEST` sets."""
    kept = min(max(probability, SMALLEST), 1 - SMALLEST)
    return math.log(kept / (1 - kept))
