"""`LabelledShot`: a still or clip and what is right of it, dimension by dimension; questions are made of these.

Owns the record and its JSON form. Where shots come from: `cut_films.py` cuts them out of films by an annotation table,
`studio/` stages them. What is asked about them is in `write_questions.py`. It holds no media bytes: they lie in a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, Label, MediaKind, dimension_named


@dataclass(frozen=True, slots=True)
class LabelledShot:
    """One medium with its labels; `labels` maps a dimension's slug to a label in the vocabulary's words."""

    shot_id: str  # unique in its source, made of [a-z0-9._-]
    film_id: str  # splits are made by it
    media_kind: MediaKind
    media_path: str  # POSIX, relative to the folder the shots came with
    media_sha256: str
    labels: Mapping[str, str]
    start_seconds: float | None = None  # in the film; None: the medium was whole
    end_seconds: float | None = None
    perceptual_hash: str = ""  # hexadecimal, see `duplicates.py`; empty: not computed
    source: str = ""
    licence: str = ""

    def label(self, dimension: Dimension) -> Label | None:
        """What is right in this dimension; None where nobody said."""
        text = self.labels.get(dimension.slug)
        return None if text is None else dimension.parse(text)

    def to_row(self) -> dict[str, Any]:
        """The record as JSON holds it."""
        return asdict(self) | {"media_kind": str(self.media_kind), "labels": dict(self.labels)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> LabelledShot:
        """Read `to_row`'s form; raises `TypeError` or `ValueError` where it is none."""
        return cls(**{**row, "media_kind": MediaKind(row["media_kind"])})

    def read(self, folder: Path) -> bytes:
        """The medium's encoded bytes."""
        return (folder / self.media_path).read_bytes()


def asked_of(kind: MediaKind) -> list[Dimension]:
    """Dimensions whose questions show this kind of medium."""
    return [dimension for dimension in DIMENSIONS if dimension.media_kind is kind]


def label_text(label: Label) -> str:
    """A label as an annotation or option says it, in the vocabulary's own words."""
    return str(label)


def known_label(slug: str, text: str) -> str:
    """A label of any known spelling in the vocabulary's own words; raises `UnknownTerm`, `UnknownDimension`."""
    return label_text(dimension_named(slug).parse(text))
