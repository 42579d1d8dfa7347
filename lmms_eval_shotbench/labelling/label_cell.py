"""A cell of a shot sheet: what is said about one dimension of a shot, how certain it is, and who says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

PERSON = "person"  # the source of a cell that a person has set; labelling again never overwrites it


class Status(StrEnum):
    """Whether a cell has a label."""

    LABELLED = "labelled"
    NONE = "none"  # the shot says nothing about the dimension
    UNSURE = "unsure"  # the confidence is below the threshold: ask a person


@dataclass(frozen=True, slots=True)
class LabelCell:
    """A cell. `label` has the vocabulary's spelling; of an unsure cell it is the best guess, and in no table."""

    status: Status
    label: str = ""
    confidence: float | None = None  # probability, 0 to 1, that status and label are right; None: not known
    agreement: float | None = None  # share, 0 to 1, of stills, views and models whose own label is this one
    source: str = ""  # PERSON, or the models that decided, with their revisions and ways of asking
    alternatives: tuple[tuple[str, float], ...] = ()  # other labels with confidence; of a person's: the model's
    contradictions: tuple[str, ...] = ()  # other cells of the shot that cannot be true with this one, as sentences

    @property
    def table_label(self) -> str:
        """What stands in a table: the label, or nothing."""
        return self.label if self.status is Status.LABELLED else ""

    @property
    def is_by_person(self) -> bool:
        """Whether a person has set it."""
        return self.source == PERSON

    def to_row(self) -> dict[str, Any]:
        """The cell as JSON."""
        return asdict(self) | {
            "status": str(self.status),
            "alternatives": [list(one) for one in self.alternatives],
            "contradictions": list(self.contradictions),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> LabelCell:
        """Parse `to_row`."""
        return cls(
            **{
                **row,
                "status": Status(row["status"]),
                "alternatives": tuple((label, share) for label, share in row["alternatives"]),
                "contradictions": tuple(row["contradictions"]),
            }
        )
