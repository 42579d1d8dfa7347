"""A calibration: what turns votes into probabilities that a label is right, as JSON.

For each dimension and source (a model asked in one way, or several models together) it may have a regression from votes
to terms (`term_regression.py`). It has logistic regressions on the features of `pooled_votes.py`: the probability that
the shot says nothing about the dimension, the probability that the label is right if it says something, and of
dimensions with several simultaneous terms the probability that a term is true. `fit_calibration.py` fits them with
scikit-learn and SciPy; using them takes plain arithmetic.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.labelling.deciding.pooled_votes import SOURCE_SEPARATOR
from lmms_eval_shotbench.labelling.deciding.term_regression import TermRegression
from lmms_eval_shotbench.labelling.vote import Way
from lmms_eval_shotbench.vocabulary import dimension_named

SCHEMA = 1


class BadCalibration(ValueError):
    """A file is no calibration; the message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Logistic:
    """A logistic regression; features without a weight do not count, and missing ones are 0."""

    intercept: float
    weights: Mapping[str, float] = field(default_factory=dict)

    def probability(self, features: Mapping[str, float]) -> float:
        """Probability of the event, 0 to 1."""
        terms = (weight * features.get(name, 0.0) for name, weight in self.weights.items())
        odds = self.intercept + math.fsum(terms)
        return 1 / (1 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1 + math.exp(odds))

    @classmethod
    def constant(cls, hits: int, total: int) -> Logistic:
        """The share of hits, drawn towards one half by one hit and one miss."""
        return cls(math.log((hits + 1) / (total - hits + 1)))

    @classmethod
    def from_row(cls, row: Mapping[str, Any] | None) -> Logistic | None:
        """Parse JSON; None stays None."""
        if row is None:
            return None
        return cls(float(row["intercept"]), {name: float(weight) for name, weight in row["weights"].items()})


@dataclass(frozen=True)
class CellCalibration:
    """The calibration of one dimension and source."""

    right: Logistic  # that the label is right, if some term is true
    none: Logistic | None = None  # that no term is true; None: the truth that it was fitted on has no such shots
    terms: TermRegression | None = None  # from the votes to the probabilities of terms; None: as voted
    term: Logistic | None = None  # that one of several simultaneous terms is true
    max_none: float = 1.0  # a label is given only if the probability that no term is true is not above this
    min_confidence: float | None = None  # confidence from which answers have the target accuracy; None: there is none

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> CellCalibration:
        """Parse JSON."""
        right, none, term = (Logistic.from_row(row[name]) for name in ("right", "none", "term"))
        if right is None:
            raise ValueError("a calibration without `right`")
        terms = TermRegression.from_row(row["terms"])
        return cls(right, none, terms, term, row["max_none"], row["min_confidence"])


@dataclass(frozen=True)
class Calibration:
    """Calibrations by dimension slug and name of the source, and the most accurate way to ask each model."""

    cells: Mapping[str, Mapping[str, CellCalibration]]
    best_ways: Mapping[str, Mapping[str, Way]] = field(default_factory=dict)  # by slug and model
    report: Mapping[str, Any] = field(default_factory=dict)  # what it was fitted on, and how good it is on other films

    def of(self, slug: str, source: str) -> CellCalibration | None:
        """The calibration of a dimension and source, if there is one; models count in any order."""
        names = set(source.split(SOURCE_SEPARATOR))
        return next(
            (cell for name, cell in self.cells.get(slug, {}).items() if set(name.split(SOURCE_SEPARATOR)) == names),
            None,
        )

    @property
    def sources(self) -> list[str]:
        """Names of all sources that are calibrated in some dimension."""
        return list(dict.fromkeys(source for sources in self.cells.values() for source in sources))

    def best_way(self, slug: str, model: str) -> Way | None:
        """The way of asking a model about a dimension that was right most often; None if the model is unknown."""
        return self.best_ways.get(slug, {}).get(model)

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        row = {
            "schema": SCHEMA,
            "kind": "calibration of shot labels",
            "cells": {
                slug: {source: asdict(cell) for source, cell in sources.items()} for slug, sources in self.cells.items()
            },
            "best_ways": self.best_ways,
            "report": self.report,
        }
        write_atomic(path, json.dumps(row, indent=1, ensure_ascii=False) + "\n")


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file.

    Raises:
        BadCalibration: it is no calibration, or of another version.
    """
    advice = "write one with `shotbench label calibrate`"
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        if row["schema"] != SCHEMA:
            raise BadCalibration(f"{path} has schema {row['schema']}, expected {SCHEMA}; {advice}")
        return Calibration(
            {
                dimension_named(slug).slug: {source: CellCalibration.from_row(cell) for source, cell in sources.items()}
                for slug, sources in row["cells"].items()
            },
            {slug: {model: Way(way) for model, way in ways.items()} for slug, ways in row["best_ways"].items()},
            row["report"],
        )
    except FileNotFoundError:
        raise BadCalibration(f"{path} does not exist; {advice}") from None
    except OSError as error:
        raise BadCalibration(f"{path} cannot be read: {error.strerror}; {advice}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, BadCalibration):
            raise
        raise BadCalibration(f"{path} is no calibration ({type(error).__name__}: {error}); {advice}") from None
