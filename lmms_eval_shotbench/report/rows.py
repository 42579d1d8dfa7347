"""Rows of a report's tables: a display name, and the path of the numbers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from lmms_eval_shotbench.model_args import split_model_args
from lmms_eval_shotbench.runs.formatting import first_few
from lmms_eval_shotbench.scoring.several_samples import shown_j
from lmms_eval_shotbench.vocabulary import DIMENSIONS, dimension_named

KeyPath = tuple[str, ...]
Value = TypeVar("Value")
STEPS = 20  # of completions that a table has
MICRO, MACRO = "over items (micro)", "over dimensions (macro)"


def asked_dimensions(numbers: Mapping[str, Any]) -> list[str]:
    """Return the slugs of the dimensions in any run, in the paper's order."""
    asked = {slug for run in numbers["runs"] for slug in run["strict"]["accuracy"]["by_dimension"]}
    return [dimension.slug for dimension in DIMENSIONS if dimension.slug in asked]


def third_party_dimensions(numbers: Mapping[str, Any]) -> list[str]:
    """Return the slugs of the dimensions of which a third-party row has a figure, in the paper's order."""
    known = {slug for row in numbers["third_party"] for slug in row["by_dimension"]}
    return [dimension.slug for dimension in DIMENSIONS if dimension.slug in known]


def ranked(numbers: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return ("published" or "runs", index), best average first: as printed for published rows, macro for runs."""
    rows = [("published", index, row["average"]) for index, row in enumerate(numbers["published"])]
    rows += [
        ("runs", index, 100 * run["strict"]["accuracy"]["macro"]["value"]) for index, run in enumerate(numbers["runs"])
    ]
    return [(kind, index) for kind, index, _ in sorted(rows, key=lambda row: (-row[2], row[0], row[1]))]


def comparison_rows(one: Mapping[str, Any]) -> Iterator[tuple[str, KeyPath]]:
    """Yield the rows of one comparison (docs/compare.md)."""
    yield from _dimensions(one["by_dimension"])
    yield MICRO, ("overall",)
    if one["decided_by_both"]:
        yield "decided by both", ("decided_by_both",)
    yield MACRO, ("macro",)


def averages_of_samples(run: Mapping[str, Any]) -> Iterator[tuple[str, KeyPath]]:
    """Yield the rows of one run's `accuracy`, and of the averages of its `samples` (docs/scores.md)."""
    yield from _dimensions(run["strict"]["accuracy"]["by_dimension"])
    yield MICRO, ("micro",)
    yield MACRO, ("macro",)


def shown_passes(run: Mapping[str, Any]) -> list[str]:
    """Return the keys of a run's `samples.pass_at` that are shown: 2, 4, 8, … and the number of samples."""
    return [str(j) for j in shown_j(run["strict"]["samples"]["k"]) if j > 1]


def prior_rows(run: Mapping[str, Any]) -> Iterator[tuple[str, KeyPath]]:
    """Yield the rows of one run's `prior` (docs/scores.md)."""
    yield from _dimensions(run["strict"]["prior"]["by_dimension"])
    yield MICRO, ()
    yield MACRO, ("macro",)


def variant_rows(found: Mapping[str, Any]) -> Iterator[tuple[str, KeyPath]]:
    """Yield the rows of one variant (docs/variants.md)."""
    yield from _dimensions(found["by_dimension"])
    yield MICRO, ("overall",)


def transfer_rows(pair: Mapping[str, Any]) -> Iterator[tuple[str, KeyPath]]:
    """Yield the rows of one pair of sets (docs/transfer.md)."""
    yield from _dimensions(pair["by_dimension"])
    yield MACRO, ("macro",)


def training_rows(one: Mapping[str, Any]) -> Iterator[tuple[str, KeyPath, str]]:
    """Yield the rows of one training run's curves, with the format of their values."""
    for name in ("reward", "loss", "validation_loss"):
        if name in one:
            yield name.replace("_", " "), (name,), "value"
    if "format" in one:
        yield "well-formed, %", ("format",), "percent"
    for kind, curves in one["accuracy"].items():
        for name, path in _dimensions(curves):
            yield f"accuracy, % ({kind}): {name}", ("accuracy", kind, path[-1]), "percent"


def step_rows(completions: Mapping[str, Any]) -> list[int]:
    """Return the indices of the steps of completions that are shown."""
    return evenly_spaced(range(len(completions["steps"])), STEPS)


def evenly_spaced(values: Sequence[Value], most: int) -> list[Value]:
    """Return at most `most` (2 or more) values, among them the first and the last."""
    if len(values) <= most:
        return list(values)
    return [values[round(index * (len(values) - 1) / (most - 1))] for index in range(most)]


def _dimensions(by_slug: Mapping[str, Any]) -> Iterator[tuple[str, KeyPath]]:
    for slug in by_slug:
        yield dimension_named(slug).paper_name, ("by_dimension", slug)


def how_rows(how: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the non-empty fields of a run's record."""
    for name, value in how.items():
        if name == "command":
            continue  # shown separately, also if it has to be reconstructed
        if isinstance(value, Mapping):
            yield from ((f"{name}: {inner}", text) for inner, text in how_rows(value))
        elif isinstance(value, list) and name == "left_out" and value:
            yield "left out", f"{len(value)} questions: {first_few(value, 20)}"
        elif value or value == 0:
            yield name.replace("_", " "), ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def command(how: Mapping[str, Any]) -> str:
    """Return the recorded command of a run, or reconstruct it from the record; "" without a model."""
    if how.get("command") or not how.get("model"):
        return str(how.get("command") or "")
    given = {"--tasks": how.get("tasks"), "--data": how.get("data"), "--split": how.get("split")}
    arguments = _model_args(list((how.get("passes") or {}).values()))
    given |= {"--model": how["model"], "--model_args": arguments}
    options = [part for name, value in given.items() if value for part in (name, str(value))]
    return shlex.join(["shotbench", "eval", *options, *map(str, how.get("passed_on") or ()), "--out", "RUN"])


def _model_args(passes: Sequence[Mapping[str, Any]]) -> str:
    """Return the model arguments common to all passes, without those `shotbench eval` added for stills or clips."""
    several = [split_model_args(str(one.get("model_args") or "")) for one in passes]
    return ",".join(argument for argument in several[0] if all(argument in one for one in several)) if several else ""
