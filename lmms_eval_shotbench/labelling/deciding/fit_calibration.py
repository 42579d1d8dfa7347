"""Fit a calibration on labelled films whose truth is known, and measure it on films that it was not fitted on.

Every figure of the report is of cross-validation over films: all of the fit, its choice of parameters included, is
repeated without the films that it is measured on. With one film only, five stretches of it count as films,
and the report says so: expect worse on other films. What is fitted is in `fit_cells.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, NamedTuple

from lmms_eval_shotbench.labelling.deciding.calibration import Calibration, CellCalibration
from lmms_eval_shotbench.labelling.deciding.decide import Guess, best_guess, counted_votes
from lmms_eval_shotbench.labelling.deciding.fit_cells import KnownCell, fit_cells
from lmms_eval_shotbench.labelling.deciding.fit_logistic import FOLDS, group_folds
from lmms_eval_shotbench.labelling.deciding.pooled_votes import SOURCE_SEPARATOR, pool, source_name
from lmms_eval_shotbench.labelling.deciding.reliability import JudgedCell, reliability, threshold_for
from lmms_eval_shotbench.labelling.scores.match_truth import MatchedShot, is_true
from lmms_eval_shotbench.labelling.truth import ShotTruth, TruthStatus
from lmms_eval_shotbench.labelling.vote import Vote, Way
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension

PART, PARTS = ", part ", "parts of one film"


class BadCalibrationData(ValueError):
    """There is nothing that a calibration could be fitted on."""


class KnownVotes(NamedTuple):
    """The votes on one dimension of a shot, and what is true."""

    film: str
    votes: Sequence[Vote]
    truth: ShotTruth


class HeldOutAnswer(NamedTuple):
    """The answer about a cell of a calibration that was fitted on other films."""

    guess: Guess
    judged: JudgedCell
    is_none: bool  # no term is true


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """What a calibration aims at."""

    target: float = 0.9  # accuracy of answers from `CellCalibration.min_confidence` on
    max_false_labels: float = 0.03  # share of shots without a term that may get a label; new films have a little more
    balance: float = 0.5  # 0: labels are as frequent as in the truth; 1: rare terms count as much as frequent ones


def fit_calibration(shots: Sequence[MatchedShot], settings: CalibrationSettings) -> Calibration:
    """Fit a calibration of every dimension, model and way that the shots have votes of.

    Raises:
        BadCalibrationData: no shot has votes and a truth in the same dimension.
    """
    cells: dict[str, dict[str, CellCalibration]] = {}
    best_ways: dict[str, dict[str, Way]] = {}
    report: dict[str, dict[str, Any]] = {}
    for dimension in DIMENSIONS:
        known = known_votes(shots, dimension)
        if known:
            slug = dimension.slug
            cells[slug], report[slug], best_ways[slug] = _fit_dimension(dimension, known, settings)
    if not cells:
        raise BadCalibrationData(
            "no shot has votes on a dimension in which its truth is known; check that the truth table annotates the "
            "dimensions that were asked, and label the films with this version, which stores votes in shots.jsonl"
        )
    return Calibration(cells, best_ways, {"settings": asdict(settings), "dimensions": report})


def known_votes(shots: Sequence[MatchedShot], dimension: Dimension) -> list[KnownVotes]:
    """The shots with votes on a dimension and a known truth, with films as groups, or stretches of a single film."""
    found = []
    for row, truth in shots:
        votes = [vote for vote in row.votes if vote.dimension == dimension.slug]
        known = truth.of(dimension)
        if known.status is not TruthStatus.UNCERTAIN and any(not vote.second for vote in votes):
            found.append(KnownVotes(truth.film_id, votes, known))
    if len({one.film for one in found}) > 1:
        return found
    return [one._replace(film=f"{one.film}{PART}{FOLDS * index // len(found) + 1}") for index, one in enumerate(found)]


def _fit_dimension(
    dimension: Dimension, shots: Sequence[KnownVotes], settings: CalibrationSettings
) -> tuple[dict[str, CellCalibration], dict[str, Any], dict[str, Way]]:
    """Calibrations and their report by source, and the best way of asking each model."""
    fitted: dict[str, CellCalibration] = {}
    report: dict[str, Any] = {}
    accuracy: defaultdict[str, dict[Way, float]] = defaultdict(dict)
    for model, way in dict.fromkeys((vote.model, vote.way) for shot in shots for vote in shot.votes if not vote.second):
        source = source_name(model, way)
        votes = [[vote for vote in shot.votes if (vote.model, vote.way) == (model, way)] for shot in shots]
        fitted[source], report[source] = fit_source(dimension, _pooled(dimension, shots, votes), settings)
        accuracy[model][way] = report[source]["accuracy"]
    best = {model: max(ways, key=lambda way: ways[way]) for model, ways in accuracy.items()}
    if len(best) > 1:
        chosen = Calibration({}, {dimension.slug: best})
        votes = [counted_votes(dimension, shot.votes, chosen) for shot in shots]
        together = SOURCE_SEPARATOR.join(source_name(model, way) for model, way in best.items())
        cells = [cell for cell in _pooled(dimension, shots, votes) if cell.pooled.source == together]
        if cells:  # shots with votes of all models
            fitted[together], report[together] = fit_source(dimension, cells, settings)
    return fitted, report, best


def _pooled(dimension: Dimension, shots: Sequence[KnownVotes], votes: Sequence[Sequence[Vote]]) -> list[KnownCell]:
    """The shots with their votes pooled; those without a vote are left out."""
    return [
        KnownCell(shot.film, pool(dimension, chosen), shot.truth)
        for shot, chosen in zip(shots, votes, strict=True)
        if any(not vote.second for vote in chosen)
    ]


def fit_source(
    dimension: Dimension, cells: Sequence[KnownCell], settings: CalibrationSettings
) -> tuple[CellCalibration, dict[str, Any]]:
    """Fit one source and dimension on all cells, with thresholds and a report from cross-validation over films."""
    fitted = fit_cells(dimension, cells, settings.balance)
    guesses: dict[int, Guess] = {}
    for train, test in group_folds([cell.film for cell in cells]):
        without = fit_cells(dimension, [cells[n] for n in train], settings.balance)
        guesses |= {n: best_guess(dimension, cells[n].pooled, without) for n in test}
    if not guesses:  # a single cell
        guesses = {n: best_guess(dimension, cell.pooled, fitted) for n, cell in enumerate(cells)}
    answers = [_answer(dimension, cell, guesses[n]) for n, cell in enumerate(cells)]
    if fitted.none:
        fitted = replace(fitted, max_none=_max_none(answers, settings.max_false_labels))
    allowed = [one.judged for one in answers if one.guess.is_allowed(fitted.max_none)]
    threshold, covered = threshold_for(allowed, settings.target) or (None, 0.0)
    fitted = replace(fitted, min_confidence=threshold)
    coverage = len(allowed) / len(answers)
    more = {"coverage": coverage, "min_confidence": threshold, "coverage_at_min_confidence": covered * coverage}
    return fitted, _report(answers, fitted) | more


def _answer(dimension: Dimension, cell: KnownCell, guess: Guess) -> HeldOutAnswer:
    right = is_true(dimension, cell.truth, "" if guess.is_none else guess.label)
    return HeldOutAnswer(guess, JudgedCell(guess.confidence, right, cell.film), cell.truth.status is TruthStatus.NONE)


def _max_none(answers: Sequence[HeldOutAnswer], share: float) -> float:
    """The highest limit on the probability of none with which at most this share of shots without a term is labelled.

    As in conformal prediction, one more such shot is assumed to be labelled, so that few of them give a strict limit.
    """
    nothing = [one.guess for one in answers if one.is_none]
    risky = sorted(guess.none for guess in nothing if not guess.is_none)
    allowed = max(0, int(share * (len(nothing) + 1)) - 1)
    return 1.0 if len(risky) <= allowed else max(0.0, risky[allowed] - 1e-9)


def _report(answers: Sequence[HeldOutAnswer], fitted: CellCalibration) -> dict[str, Any]:
    nothing = [one.guess for one in answers if one.is_none]
    labelled = [guess for guess in nothing if not guess.is_none and guess.is_allowed(fitted.max_none)]
    films = sorted({one.judged.film for one in answers})
    fits = {"right": fitted.right, "none": fitted.none, "term": fitted.term}
    return {
        "cells": len(answers),
        "none_cells": len(nothing),
        "grouped_by": PARTS if any(PART in film for film in films) else "films",
        "films": films,
        "terms_regressed": fitted.terms is not None,
        "parameters": {name: None if one is None else 1 + len(one.weights) for name, one in fits.items()},
        "accuracy": fmean(one.judged.right for one in answers),
        "labels_on_none": len(labelled) / len(nothing) if nothing else None,
        "reliability": reliability([one.judged for one in answers]),
    }
