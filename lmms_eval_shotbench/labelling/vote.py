"""A vote: the answer to one question about one dimension of a shot, as probabilities of the dimension's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

NO_TERM = "none"  # in place of a term: the shot says nothing about the dimension, or none of its terms is true


class Way(StrEnum):
    """How a model is asked for the term."""

    PROBABILITY = "probability"  # log-probability of each term after the prompt; no options are offered
    LETTER = "letter"  # rounds of four options; the letter of the answer counts
    TERM = "term"  # rounds of four options; the term named in the thought counts


@dataclass(frozen=True, slots=True)
class Vote:
    """One vote. `probabilities` are of the shot as filmed: terms of another view are mapped back. They sum to 1."""

    dimension: str  # slug
    model: str  # name of the model, with its revision
    way: Way
    medium: str  # path of the still or clip, relative to the folder of the labels
    view: str  # how the medium was shown: one or more of `vocabulary.View`, joined by " and "
    probabilities: Mapping[str, float]  # by name of the term, and possibly NO_TERM
    question: str = ""  # text of the user message
    options: tuple[str, ...] = ()
    response: str = ""
    second: bool = False  # asked for a second movement, given that the first is true
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_row(self) -> dict[str, Any]:
        """The vote as JSON."""
        row = {name: getattr(self, name) for name in self.__slots__}
        rounded = {term: round(share, 6) for term, share in self.probabilities.items()}
        return row | {"way": str(self.way), "probabilities": rounded, "options": list(self.options)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Vote:
        """Parse `to_row`."""
        return cls(**{**row, "way": Way(row["way"]), "options": tuple(row["options"])})
