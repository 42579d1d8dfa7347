"""Whether the fields of stored scores are what readers of runs take them for: files are edited by hand and merged.

Absent fields pass: earlier versions wrote fewer. The numbers that a page shows are checked by `report/shape.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from string import ascii_uppercase
from typing import Any

from lmms_eval_shotbench.vocabulary import slugs

Check = Callable[[Any], bool]


def first_misfit(scores: Mapping[str, Any]) -> str:
    """The first field that is there but not as docs/scores.md says, with what it holds; "" where all are."""
    of_items = (_misfits(row, _ITEM, after=f" of an item (index {row['index']!r:.80})") for row in scores["items"])
    of_run = _misfits(scores.get("run") or {}, _RUN, before="run.")
    return next(chain(_misfits(scores, _SCORES), of_run, chain.from_iterable(of_items)), "")


def _misfits(
    fields: Mapping[str, Any], checks: Mapping[str, Check], before: str = "", after: str = ""
) -> Iterator[str]:
    for name, fits in checks.items():
        if name in fields and not fits(fields[name]):
            yield f"{before}{name}{after} is {fields[name]!r:.80}"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_letter(value: Any) -> bool:
    return value in tuple(ascii_uppercase)


def _are_indices(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_index, value))


def _none_or(fits: Check) -> Check:
    return lambda value: value is None or fits(value)


def _mapping_to(fits: Check) -> Check:
    return lambda value: _is_mapping(value) and all(map(fits, value.values()))


_SCORES: Mapping[str, Check] = {"unanswered": _are_indices, "run": _none_or(_is_mapping)}
_RUN: Mapping[str, Check] = {
    **dict.fromkeys(("command", "model", "revision", "tasks", "prompt_style", "variant"), _none_or(_is_text)),
    **dict.fromkeys(("data", "split", "data_sha256"), _none_or(_is_text)),
    "left_out": _are_indices,
    "refined": _none_or(_mapping_to(_is_text)),
    "passes": _none_or(_mapping_to(_is_mapping)),
}
_ITEM: Mapping[str, Check] = {
    "index": _is_index,
    **dict.fromkeys(("item_id", "medium", "asked"), _is_text),
    "dimension": lambda value: value in slugs(),
    "answer": _is_letter,
    "letter": _none_or(_is_letter),
    "correct": lambda value: isinstance(value, bool),
}


class BadRun(ValueError):
    """A stored run that cannot be used, or an argument that is none; the message says which, and what to do."""
