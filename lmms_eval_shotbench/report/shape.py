"""Whether scores.json holds the numbers that a page shows: files are edited by hand, merged, and cut by full disks.

What is amiss is told by its place before anything is drawn: numbers of another kind would mislead or break the page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.runs.scores_schema import BadRun
from lmms_eval_shotbench.vocabulary import slugs

Check = Callable[[Any, str], str]  # value and its place -> the place of the first thing amiss, "" where there is none


def require_numbers(scores: Mapping[str, Any], file: Path) -> None:
    """Raise `BadRun` with the first place in these scores that is absent or not as docs/scores.md says."""
    if amiss := _SCORES(scores, ""):
        raise BadRun(f"{file}: {amiss} is absent or not what docs/scores.md says; score the run's responses again")


def _share(value: Any, place: str) -> str:
    """From -1 to 1: above chance, and as a difference, shares may be below 0."""
    return "" if _is_number(value) and abs(value) <= 1 + 1e-9 else place


def _count(value: Any, place: str) -> str:
    return "" if _is_number(value) and value >= 0 and float(value).is_integer() else place


def _items(value: Any, place: str) -> str:
    return _count(value, place) or ("" if value else place)


def _text(value: Any, place: str) -> str:
    return "" if isinstance(value, str) else place


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _maybe(check: Check) -> Check:
    return lambda value, place: "" if value is None else check(value, place)


def _each(check: Check, by_dimension: bool = True) -> Check:
    """A mapping of such values, by dimension or by any name."""

    def each(value: Any, place: str) -> str:
        if not isinstance(value, Mapping) or (by_dimension and not set(value) <= set(slugs())):
            return place
        return _first(check(one, f"{place}.{name}") for name, one in value.items())

    return each


def _fields(checks: Mapping[str, Check]) -> Check:
    """A mapping that has these, and perhaps others."""

    def fields(value: Any, place: str) -> str:
        if not isinstance(value, Mapping):
            return place
        return _first(check(value.get(name), f"{place}.{name}".lstrip(".")) for name, check in checks.items())

    return fields


def _row(*checks: Check) -> Check:
    """A list of just these."""

    def row(value: Any, place: str) -> str:
        if not isinstance(value, list) or len(value) != len(checks):
            return place
        return _first(check(one, place) for check, one in zip(checks, value, strict=True))

    return row


def _rows(check: Check) -> Check:
    """A list of such values, of any length."""
    return lambda value, place: (
        _first(check(one, f"{place}[{number}]") for number, one in enumerate(value))
        if isinstance(value, list)
        else place
    )


def _first(found: Iterable[str]) -> str:
    return next(filter(None, found), "")


_INTERVAL = dict.fromkeys(("value", "low", "high"), _share)
_ESTIMATE = _fields(_INTERVAL | {"n": _items})
_AVERAGES = _fields({"micro": _ESTIMATE, "macro": _ESTIMATE, "by_dimension": _each(_ESTIMATE)})
_SIDES = {
    "accuracy": _ESTIMATE,
    "where_right": _maybe(_ESTIMATE),
    "where_wrong": _maybe(_ESTIMATE),
    "difference": _maybe(_fields(_INTERVAL)),
}
_SCORES = _fields(
    {
        "accuracy": _AVERAGES,
        "chance_corrected": _AVERAGES,
        "correct": _count,
        "n": _items,
        "answered_rate": _share,
        "well_formed_rate": _share,
        "unanswered": _rows(_count),
        "prior": _fields(_SIDES | {"macro": _fields(_SIDES), "by_dimension": _each(_fields(_SIDES))}),
        "terms": _each(_each(_ESTIMATE, by_dimension=False)),
        "confusion": _each(_rows(_row(_text, _maybe(_text), _items))),
        "run": _maybe(_fields({"passes": _maybe(_each(_fields({}), by_dimension=False))})),
    }
)
