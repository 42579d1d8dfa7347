"""Curves and completions of a training run.

The curves are read from the JSON lines of verl's file logger in RUN/metrics, one file per attempt.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from lmms_eval_shotbench.runs.completions import CompletionsByStep, Kind, read_completions
from lmms_eval_shotbench.runs.scores_schema import BadRun
from lmms_eval_shotbench.vocabulary import slugs

Curve = list[tuple[int, float]]  # step and value
_SINGLE = {
    "reward": "critic/rewards/mean",
    "format": "train/format",
    "loss": "train/loss",
    "validation_loss": "val/loss",
}
_TRAINED = re.compile(r"train/acc/(?P<slug>\w+)")
_VALIDATED = re.compile(r"val-core/.+/(?P<slug>\w+)/acc/mean@\d+")


@dataclass(frozen=True)
class TrainingCurves:
    """Curves of one run; metrics that were not logged are absent."""

    path: Path
    single: Mapping[str, Curve]  # reward, format (share of well-formed responses), loss, validation_loss
    trained: Mapping[str, Curve]  # accuracy in the batches trained on, by slug
    validated: Mapping[str, Curve]  # accuracy in validation, by slug
    completions: Mapping[Kind, CompletionsByStep]  # of each kind; without steps if none were kept


def read_training(run: Path) -> TrainingCurves:
    """Read a training run's folder; raises `BadRun` if it has no logged metrics."""
    logged = _logged(run)
    if not logged:
        raise BadRun(
            f"{run}: no training run that has logged metrics (metrics/*.jsonl); give the folder of `shotbench train`"
        )
    single = {
        name: [(step, values[key]) for step, values in logged.items() if key in values] for name, key in _SINGLE.items()
    }
    return TrainingCurves(
        run,
        {name: curve for name, curve in single.items() if curve},
        _by_dimension(logged, _TRAINED),
        _by_dimension(logged, _VALIDATED),
        read_completions(run),
    )


def is_training_run(path: Path) -> bool:
    """Whether a path is the folder of a training run."""
    return (path / "metrics").is_dir() and (path / "order.json").is_file()


def _logged(run: Path) -> dict[int, dict[str, float]]:
    """Return logged values by step; an attempt resumed from a checkpoint discards later steps of earlier attempts."""
    logged: dict[int, dict[str, float]] = {}
    for path in sorted((run / "metrics").glob("*.jsonl")):
        rows = _logged_steps(path)
        if rows:
            logged = {step: values for step, values in logged.items() if step <= rows[0][0]}
        for step, values in rows:
            logged[step] = logged.get(step, {}) | values
    return dict(sorted(logged.items()))


def _logged_steps(path: Path) -> list[tuple[int, dict[str, float]]]:
    """Return steps with their finite values; an incomplete last line of an interrupted run is ignored."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        rows = [json.loads(line) for line in lines if line.endswith("\n")]
        return [(int(row["step"]), {key: float(v) for key, v in row["data"].items() if _finite(v)}) for row in rows]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadRun(f"{path}: not lines of verl's file logger ({error}); is this a training run?") from None


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _by_dimension(logged: Mapping[int, Mapping[str, float]], key: re.Pattern[str]) -> dict[str, Curve]:
    """Return curves of known dimensions in the vocabulary's order, averaged over the data sources of a dimension."""
    curves: defaultdict[str, Curve] = defaultdict(list)
    for step, values in logged.items():
        found: defaultdict[str, list[float]] = defaultdict(list)
        for name, value in values.items():
            if match := key.fullmatch(name):
                found[match["slug"]].append(value)
        for slug, several in found.items():
            curves[slug].append((step, fmean(several)))
    return {slug: curves[slug] for slug in slugs() if slug in curves}
