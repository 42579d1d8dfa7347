"""A problem found before training starts, and how many like it are told together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

PLACES_NAMED = 3  # of one problem that stands in many rows


@dataclass(frozen=True)
class Problem:
    """Something that would stop the training or spoil it: what, where, what to do next."""

    what: str
    where: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.next_step}"


def told_once(problems: Iterable[Problem]) -> list[Problem]:
    """Join problems that differ in their place only, in order of the first of each."""
    places: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        places.setdefault((problem.what, problem.next_step), []).append(problem.where)
    return [Problem(what, _named(where), next_step) for (what, next_step), where in places.items()]


def _named(places: list[str]) -> str:
    rest = len(places) - PLACES_NAMED
    return "; ".join(places[:PLACES_NAMED]) + (f"; and {rest:,} more" if rest > 0 else "")
