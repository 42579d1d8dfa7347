"""Score a shot sheet against a truth table: cuts, labels per dimension, labels where there should be none, confidence.

A cell's *answer* is its label, or "none"; an unsure cell's is its best guess. A label is right if at least one of its
terms is certainly true and none is certainly wrong. Only cells whose truth is known count: labelled, or none.

accuracy        share of right answers where some term is true
term_accuracy   the same for the term that the sheet would name if "none" were no answer
whole_accuracy  share of right answers over all known cells, "none" included
coverage        share of all known cells that have a label or "none", and are not unsure
kept_accuracy   share of right answers among these
labels_on_none  share of the cells whose truth is none that have a label

Intervals are 95 %, clustered by film as in `scoring/metrics.py`: shots of one film resemble each other. With fewer than
ten films they are too narrow; with one, they assume a single observation.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from lmms_eval_shotbench.labelling.deciding.reliability import JudgedCell, reliability
from lmms_eval_shotbench.labelling.label_cell import LabelCell, Status
from lmms_eval_shotbench.labelling.scores.cut_score import TOLERANCE, score_cuts
from lmms_eval_shotbench.labelling.scores.match_truth import MatchedShot, is_true, match_truth
from lmms_eval_shotbench.labelling.shot_sheet import ShotSheet, labels_digest
from lmms_eval_shotbench.labelling.truth import ShotTruth, TruthRow, TruthStatus
from lmms_eval_shotbench.labelling.vote import NO_TERM
from lmms_eval_shotbench.scoring.metrics import clustered_mean
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension

SCHEMA = 1
UNSURE = LabelCell(Status.UNSURE)  # in place of a cell that a shot lacks, as where its clip is broken


@dataclass(frozen=True)
class ScoredCell:
    """A cell beside its truth, which is labelled or none."""

    dimension: Dimension
    film: str
    truth: ShotTruth
    cell: LabelCell

    @property
    def is_none(self) -> bool:
        """Whether no term is true."""
        return self.truth.status is TruthStatus.NONE

    @property
    def has_label(self) -> bool:
        """Whether the sheet has a label, right or wrong."""
        return self.cell.status is Status.LABELLED

    @property
    def is_decided(self) -> bool:
        """Whether the sheet has an answer that it is sure of."""
        return self.cell.status is not Status.UNSURE

    @cached_property
    def is_right(self) -> bool:
        """Whether the answer, or the best guess, is right; a cell without votes is wrong."""
        unanswered = self.cell.status is Status.UNSURE and self.cell.confidence is None and not self.cell.label
        return not unanswered and is_true(self.dimension, self.truth, self.cell.label)

    @cached_property
    def named_right(self) -> bool:
        """Whether the label is right, or the likeliest one where the answer is "none"."""
        label = self.cell.label or next((label for label, _ in self.cell.alternatives), "")
        return bool(label) and is_true(self.dimension, self.truth, label)

    @property
    def terms(self) -> frozenset[str]:
        """The terms of the label; none if there is no label."""
        return frozenset(map(str, self.dimension.parse(self.cell.label).terms)) if self.has_label else frozenset()


def score_labels(sheet: ShotSheet, truths: Sequence[TruthRow], tolerance: int = TOLERANCE) -> dict[str, Any]:
    """Score a sheet against a truth table.

    Args:
        sheet: Labelled shots; votes are not needed.
        truths: Rows of the table.
        tolerance: Frames by which a cut may be off.

    Returns:
        All figures as JSON; shares are 0 to 1, and None where there is nothing to divide by.

    Raises:
        NoCommonFilms: sheet and table have no film in common.
    """
    match = match_truth(sheet, truths)
    asked = {slug for row in sheet.shots for slug in row.cells}
    cells = {
        dimension: scored
        for dimension in DIMENSIONS
        if dimension.slug in asked and (scored := scored_cells(match.shots, dimension))
    }
    return {
        "schema": SCHEMA,
        "kind": "scores of shot labels",
        "labels_digest": labels_digest(sheet),
        "run": dict(sheet.run),
        "films": sorted({truth.film_id for _, _, rows in match.films for truth in rows}),
        "films_without_labels": list(match.other_films),
        "shots": {
            "labels": sum(len(rows) for _, rows, _ in match.films),
            "truth": len(match.shots) + len(match.unmatched),
            "matched": len(match.shots),
        },
        "cuts": score_cuts(match, tolerance).to_row(tolerance),
        "macro": {name: _macro(cells.values(), *of) for name, of in ACCURACIES.items()},
        "reliability": _reliability([one for scored in cells.values() for one in scored]),
        "dimensions": {dimension.slug: _dimension_scores(dimension, scored) for dimension, scored in cells.items()},
    }


def scored_cells(shots: Sequence[MatchedShot], dimension: Dimension) -> list[ScoredCell]:
    """The cells of a dimension whose truth is known; a shot without a cell has an unsure one."""
    return [
        ScoredCell(dimension, truth.film_id, truth.of(dimension), row.cells.get(dimension.slug, UNSURE))
        for row, truth in shots
        if truth.of(dimension).status is not TruthStatus.UNCERTAIN
    ]


Of = Callable[[ScoredCell], bool]
# Name: the cells that count, and what is asked of them.
ACCURACIES: dict[str, tuple[Of, Of]] = {
    "accuracy": (lambda one: not one.is_none, lambda one: one.is_right),
    "term_accuracy": (lambda one: not one.is_none, lambda one: one.named_right),
    "whole_accuracy": (lambda one: True, lambda one: one.is_right),
    "coverage": (lambda one: True, lambda one: one.is_decided),
    "kept_accuracy": (lambda one: one.is_decided, lambda one: one.is_right),
    "labels_on_none": (lambda one: one.is_none, lambda one: one.has_label),
}


def _macro(dimensions: Iterable[Sequence[ScoredCell]], counts: Of, hit: Of) -> dict[str, float] | None:
    """The unweighted mean over dimensions; of one dimension, its mean."""
    cells = [one for cells in dimensions for one in cells if counts(one)]
    if not cells:
        return None
    shares = [float(hit(one)) for one in cells]
    return asdict(clustered_mean(shares, [one.film for one in cells], [one.dimension.slug for one in cells]))


def _dimension_scores(dimension: Dimension, cells: Sequence[ScoredCell]) -> dict[str, Any]:
    return {
        "labelled_cells": sum(not one.is_none for one in cells),
        "none_cells": sum(one.is_none for one in cells),
        "by_person": sum(one.cell.is_by_person for one in cells),
        **{name: _macro([cells], *of) for name, of in ACCURACIES.items()},
        **_sets(cells),
        "terms": {term.name: _term_scores(term.name, cells) for term in dimension.terms},
        "confusion": _confusion(cells),
        "reliability": _reliability(cells),
    }


def _reliability(cells: Sequence[ScoredCell]) -> dict[str, Any]:
    """Of the cells that models have answered; a person's are certain."""
    answered = [one for one in cells if one.cell.confidence is not None and not one.cell.is_by_person]
    return reliability([JudgedCell(one.cell.confidence or 0.0, one.is_right, one.film) for one in answered])


def _sets(cells: Sequence[ScoredCell]) -> dict[str, float | None]:
    """Precision and recall of all terms of the labels, as sets; possible terms count for neither."""
    hits = sum(len(one.terms & one.truth.terms(one.dimension)) for one in cells)
    wrong = sum(one.truth.excludes(one.dimension, term) for one in cells for term in one.terms)
    true = sum(len(one.truth.terms(one.dimension)) for one in cells)
    return {
        "set_precision": hits / (hits + wrong) if hits + wrong else None,
        "set_recall": hits / true if true else None,
    }


def _term_scores(term: str, cells: Sequence[ScoredCell]) -> dict[str, float | int | None]:
    true = [one for one in cells if term in one.truth.terms(one.dimension)]
    hits = sum(term in one.terms for one in true)
    wrong = sum(term in one.terms and one.truth.excludes(one.dimension, term) for one in cells)
    return {
        "true": len(true),
        "named": hits + wrong,
        "precision": hits / (hits + wrong) if hits + wrong else None,
        "recall": hits / len(true) if true else None,
    }


def _confusion(cells: Sequence[ScoredCell]) -> dict[str, dict[str, int]]:
    """Number of cells by true label and by label in the sheet, "none" and "unsure" included; most frequent first."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in cells:
        answer = one.cell.label if one.has_label else str(one.cell.status)
        counts[one.truth.label or NO_TERM][answer] += 1
    order = sorted(counts, key=lambda label: (-counts[label].total(), label))
    return {label: dict(sorted(counts[label].items(), key=lambda one: (-one[1], one[0]))) for label in order}
