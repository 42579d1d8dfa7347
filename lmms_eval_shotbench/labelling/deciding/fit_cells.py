"""Fit the regressions of one source and dimension: terms, simultaneous terms, none, right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lmms_eval_shotbench.labelling.deciding.calibration import CellCalibration, Logistic
from lmms_eval_shotbench.labelling.deciding.decide import best_guess, second_candidate, simultaneous_features
from lmms_eval_shotbench.labelling.deciding.fit_logistic import Features, fit_logistic
from lmms_eval_shotbench.labelling.deciding.fit_term_regression import fit_term_regression
from lmms_eval_shotbench.labelling.deciding.pooled_votes import PooledVotes, cell_features
from lmms_eval_shotbench.labelling.deciding.term_regression import TermRegression
from lmms_eval_shotbench.labelling.scores.match_truth import is_true
from lmms_eval_shotbench.labelling.truth import ShotTruth, TruthStatus
from lmms_eval_shotbench.vocabulary import SEVERAL_TERMS, Dimension

NUMERIC = ("top", "joint", "margin", "entropy", "none", "agreement", "terms")  # of `cell_features`
OF_TERM = ("share", "to best", "none")  # of `term_features`


class KnownCell(NamedTuple):
    """The pooled votes of one source on a dimension of a shot, and what is true."""

    film: str
    pooled: PooledVotes
    truth: ShotTruth


def fit_cells(dimension: Dimension, cells: Sequence[KnownCell], balance: float) -> CellCalibration:
    """Fit the regressions of one source and dimension, without thresholds."""
    regression: TermRegression | None = None
    if dimension not in SEVERAL_TERMS:  # of simultaneous terms it would leave only the most frequent
        true = [cell.truth.terms(dimension) for cell in cells]
        terms = fit_term_regression([cell.pooled for cell in cells], true, [cell.film for cell in cells], balance)
        regression = terms.regression
        # What follows is fitted on results for other films, which are as uncertain as those for new ones will be.
        cells = [cell._replace(pooled=pooled) for cell, pooled in zip(cells, terms.held_out, strict=True)]
    term = _fit_term(dimension, cells)
    provisional = CellCalibration(right=Logistic(0.0), term=term)
    guesses = [best_guess(dimension, cell.pooled, provisional) for cell in cells]
    rows = [cell_features(cell.pooled, guess.terms, guess.joint) for cell, guess in zip(cells, guesses, strict=True)]
    nothing = [cell.truth.status is TruthStatus.NONE for cell in cells]
    ladder = _ladder(("top",), NUMERIC, rows)
    none = fit_logistic(rows, nothing, [cell.film for cell in cells], ladder) if any(nothing) else None
    labelled = [n for n, no_term in enumerate(nothing) if not no_term]
    right = fit_logistic(
        [rows[n] for n in labelled],
        [is_true(dimension, cells[n].truth, guesses[n].label) for n in labelled],
        [cells[n].film for n in labelled],
        ladder,
    )
    return CellCalibration(right, none, regression, term)


def _fit_term(dimension: Dimension, cells: Sequence[KnownCell]) -> Logistic | None:
    """Fit the probability that a simultaneous term, or a second movement, is true; None if none are asked for."""
    rows: list[Features] = []
    hits: list[bool] = []
    films: list[str] = []
    for film, pooled, truth in cells:
        asked: Mapping[str, Features] = {}
        if dimension in SEVERAL_TERMS:
            asked = simultaneous_features(pooled)
        elif candidate := second_candidate(dimension, pooled, pooled.ranked[0]):
            asked = dict([candidate])
        true = truth.terms(dimension)
        for term, features in asked.items():
            if term in true or truth.excludes(dimension, term):  # others are possible: nothing to learn from
                rows.append(features)
                hits.append(term in true)
                films.append(film)
    return fit_logistic(rows, hits, films, _ladder(("share",), OF_TERM, rows)) if rows else None


def _ladder(few: Sequence[str], numeric: Sequence[str], rows: Sequence[Features]) -> list[Sequence[str]]:
    terms = sorted({name for row in rows for name in row if name.startswith("is ")})
    varying = [name for name in numeric if len({row[name] for row in rows}) > 1]
    return [few, varying, (*varying, *terms)]
