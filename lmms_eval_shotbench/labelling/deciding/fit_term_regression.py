"""Fit a `TermRegression`, if films that it was not fitted on show that it helps. NumPy and SciPy are imported late."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from lmms_eval_shotbench.labelling.deciding.fit_logistic import group_folds, simplest_of_the_best
from lmms_eval_shotbench.labelling.deciding.pooled_votes import SMALLEST, PooledVotes
from lmms_eval_shotbench.labelling.deciding.term_regression import TermRegression, own_logarithms, vote_features
from lmms_eval_shotbench.labelling.vote import NO_TERM

if TYPE_CHECKING:
    import numpy as np

PENALTIES = (100.0, 30.0, 10.0, 3.0, 1.0)  # on the weights of standardized features, strictest first
INTERCEPT_PENALTY = 0.3
MIN_SHOTS = 20  # below this, nothing is fitted


class FittedTerms(NamedTuple):
    """A regression, and its result for every shot from a fit on other films."""

    regression: TermRegression | None  # None: the votes are better as they are
    held_out: Sequence[PooledVotes]


def fit_term_regression(
    pooled: Sequence[PooledVotes], true: Sequence[frozenset[str]], groups: Sequence[str], balance: float = 0.0
) -> FittedTerms:
    """Fit the penalty by cross-validation over groups, then the regression on all shots.

    Args:
        pooled: Votes, one per shot.
        true: Names of the true terms of each shot; none if no term is true.
        groups: Films, one per shot.
        balance: See `balancing_weights`.
    """
    folds = group_folds(groups)
    if len(pooled) < MIN_SHOTS or not folds:
        return FittedTerms(None, pooled)
    answers = [one or frozenset([NO_TERM]) for one in true]
    held_out: list[list[PooledVotes]] = [list(pooled)]
    for penalty in PENALTIES:
        results = list(pooled)
        for train, test in folds:
            fitted = _fit([pooled[n] for n in train], [answers[n] for n in train], penalty, balance)
            for n in test:
                results[n] = fitted.applied(pooled[n])
        held_out.append(results)
    weights = balancing_weights(answers, balance)
    losses = [
        [weight * _loss(one, known) for one, known, weight in zip(results, answers, weights, strict=True)]
        for results in held_out
    ]
    chosen = simplest_of_the_best(losses, groups)
    regression = _fit(pooled, answers, PENALTIES[chosen - 1], balance) if chosen else None
    return FittedTerms(regression, held_out[chosen])


def balancing_weights(answers: Sequence[frozenset[str]], balance: float) -> list[float]:
    """Weights of the shots, 1 on average: the frequency of the shot's answer to the power of -balance.

    With a balance of 0 all shots count the same, and with 1 all answers, however rare. Between, a rare answer is named
    where the votes are clear, and a frequent one where they are not.
    """
    counts = Counter(answers)
    weights = [counts[answer] ** -balance for answer in answers]
    return [weight * len(weights) / math.fsum(weights) for weight in weights]


def _loss(pooled: PooledVotes, answers: frozenset[str]) -> float:
    """Log loss of the probability that the votes give to what is true."""
    shares = {term: (1 - pooled.none) * share for term, share in pooled.terms.items()} | {NO_TERM: pooled.none}
    return -math.log(max(math.fsum(shares[answer] for answer in answers), SMALLEST))


def _fit(
    pooled: Sequence[PooledVotes], true: Sequence[frozenset[str]], penalty: float, balance: float
) -> TermRegression:
    import numpy as np
    from scipy.optimize import minimize

    own = [own_logarithms(one) for one in pooled]
    answers = [answer for answer in own[0] if answer != NO_TERM or any(NO_TERM in known for known in true)]
    names = list(vote_features(pooled[0]))
    base = np.array([[one[answer] for answer in answers] for one in own])
    is_true = np.array([[answer in known for answer in answers] for known in true], dtype=float)
    importance = np.array(balancing_weights(true, balance))[:, None]
    values = np.array([list(vote_features(one).values()) for one in pooled])
    centre, scale = values.mean(axis=0), np.maximum(values.std(axis=0), values.std())  # rare features stay small
    features = (values - centre) / scale
    shape = (len(names), len(answers))

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        """Penalized log loss of the probability of all true answers, and its gradient."""
        weights, intercepts = flat[: -shape[1]].reshape(shape), flat[-shape[1] :]
        scores = base + intercepts + features @ weights
        scores -= scores.max(axis=1, keepdims=True)
        shares = np.exp(scores)
        total, right = shares.sum(axis=1, keepdims=True), (shares * is_true).sum(axis=1, keepdims=True)
        right = np.maximum(right, 1e-300)
        excess = importance * (shares / total - shares * is_true / right)
        loss = (importance * np.log(total / right)).sum()
        loss += (penalty * (weights**2).sum() + INTERCEPT_PENALTY * (intercepts**2).sum()) / 2
        slope = np.concatenate(
            [(features.T @ excess + penalty * weights).ravel(), excess.sum(axis=0) + INTERCEPT_PENALTY * intercepts]
        )
        return float(loss), slope

    start = np.zeros(shape[0] * shape[1] + shape[1])
    flat = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    weights = flat[: -shape[1]].reshape(shape) / scale[:, None]
    intercepts = flat[-shape[1] :] - centre @ weights
    return TermRegression(
        dict(zip(answers, map(_rounded, intercepts), strict=True)),
        {name: dict(zip(answers, map(_rounded, row), strict=True)) for name, row in zip(names, weights, strict=True)},
    )


def _rounded(number: float) -> float:
    """Six decimals, which keep the file small."""
    return round(float(number), 6)
