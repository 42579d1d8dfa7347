"""A problem found before training starts, and merging of equal problems of many rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LOCATIONS_LISTED = 3  # of a problem that occurs in many rows


@dataclass(frozen=True)
class Problem:
    """Something that would make the run fail or its results invalid: what, where, and what to do about it."""

    what: str
    where: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.next_step}"


def merge_problems(problems: Iterable[Problem]) -> list[Problem]:
    """Merge problems that differ only in their location, in order of first occurrence."""
    locations: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        locations.setdefault((problem.what, problem.next_step), []).append(problem.where)
    return [Problem(what, _joined_locations(where), next_step) for (what, next_step), where in locations.items()]


def _joined_locations(locations: list[str]) -> str:
    rest = len(locations) - LOCATIONS_LISTED
    return "; ".join(locations[:LOCATIONS_LISTED]) + (f"; and {rest:,} more" if rest > 0 else "")
