"""A regression from what a model votes to what is true: it learns which terms a model takes for which.

A model may call a level shot "Dutch angle" because no vote can say "level", or a static shot a pan to the left in one
view and to the right in its mirror image. Such habits show in the probabilities of all terms and in how views differ.
The multinomial logistic regression starts from the votes themselves (weights of 0 change nothing) and is penalized for
what it changes, so that terms with few examples keep the model's own judgement.

Using it takes plain arithmetic; `fit_term_regression.py` fits it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lmms_eval_shotbench.labelling.deciding.pooled_votes import SMALLEST, PooledVotes
from lmms_eval_shotbench.labelling.vote import NO_TERM


@dataclass(frozen=True, slots=True)
class TermRegression:
    """Changes of the log-probabilities of answers: terms, and NO_TERM if the truth had shots without a term."""

    intercepts: Mapping[str, float]  # by answer
    weights: Mapping[str, Mapping[str, float]]  # by feature of `vote_features` and answer

    def applied(self, pooled: PooledVotes) -> PooledVotes:
        """The votes with the probabilities of the regression; favourites and second movements stay."""
        features, own = vote_features(pooled), own_logarithms(pooled)
        scores = {
            answer: own[answer]
            + intercept
            + math.fsum(features[name] * weights[answer] for name, weights in self.weights.items())
            for answer, intercept in self.intercepts.items()
        }
        best = max(scores.values())
        shares = {answer: math.exp(score - best) for answer, score in scores.items()}
        none = shares.pop(NO_TERM, None)
        total = math.fsum(shares.values())
        return replace(
            pooled,
            terms={term: share / total for term, share in shares.items()},
            none=pooled.none if none is None else none / (total + none),
        )

    @classmethod
    def from_row(cls, row: Mapping[str, Any] | None) -> TermRegression | None:
        """Parse JSON; None stays None."""
        return None if row is None else cls(row["intercepts"], row["weights"])


def own_logarithms(pooled: PooledVotes) -> dict[str, float]:
    """Log-probability of every answer as voted, terms first and NO_TERM last."""
    return {answer: math.log(max(share, SMALLEST)) for answer, share in {**pooled.terms, NO_TERM: pooled.none}.items()}


def vote_features(pooled: PooledVotes) -> dict[str, float]:
    """What the regression sees: log-probabilities of all terms, how much the votes differ on each, and agreement."""
    own = {term: math.log(max(share, SMALLEST)) for term, share in pooled.terms.items()}
    mean = math.fsum(own.values()) / len(own)
    return {
        "agreement": pooled.agreement(pooled.ranked[:1]),
        **{f"log {term}": one - mean for term, one in own.items()},
        **{f"spread {term}": pooled.spread.get(term, 0.0) for term in own},
    }
