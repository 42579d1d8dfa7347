"""`LabelledShot`: a still or clip and its correct label in each dimension; questions are generated from these.

Owns the record and its JSON form. `cut_films.py` cuts shots out of films by an annotation table, `studio/` renders
them; `write_questions.py` asks about them. The record holds no media bytes, only the path of their file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from data_pipeline.defects import Defect, DefectKind
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, Label, MediaKind, dimension_named


@dataclass(frozen=True, slots=True)
class LabelledShot:
    """One medium with its labels; `labels` maps a dimension's slug to a label in canonical spelling."""

    shot_id: str  # unique in its source, made of [a-z0-9._-]
    film_id: str  # all shots of a film are in one split
    media_kind: MediaKind
    media_path: str  # POSIX, relative to the media folder of the source
    media_sha256: str
    labels: Mapping[str, str]
    start_seconds: float | None = None  # from the start of the film's file; None: not cut out of a film
    end_seconds: float | None = None
    perceptual_hash: str = ""  # hexadecimal, see `duplicates.py`; empty: not computed
    source: str = ""
    licence: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)  # of the labels: SLUG_confidence, SLUG_kept, …
    line: int = 0  # of the row of the annotation table that it was cut for; 0: of no table

    def label(self, dimension: Dimension) -> Label | None:
        """The correct label in this dimension, or None if it is not labelled."""
        text = self.labels.get(dimension.slug)
        return None if text is None else dimension.parse(text)

    def to_row(self) -> dict[str, Any]:
        """The record as stored in JSON."""
        return asdict(self) | {"media_kind": str(self.media_kind), "labels": dict(self.labels)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> LabelledShot:
        """Parse the form written by `to_row`; raises `TypeError` or `ValueError` if it is malformed."""
        return cls(**{**row, "media_kind": MediaKind(row["media_kind"])})

    def loss(self, kind: DefectKind, detail: str, dimension: Dimension | None = None) -> Defect:
        """The defect that drops the shot, or its label in one dimension."""
        index = f"{self.shot_id}-{dimension.abbreviation}" if dimension else self.shot_id
        return Defect(kind, self.line, index, self.media_path, detail, loses_row=True)

    def read(self, folder: Path) -> bytes:
        """The medium's encoded bytes."""
        return (folder / self.media_path).read_bytes()


def dimensions_for(kind: MediaKind) -> list[Dimension]:
    """Dimensions whose questions use this kind of medium."""
    return [dimension for dimension in DIMENSIONS if dimension.media_kind is kind]


def label_text(label: Label) -> str:
    """The text of a label in canonical spelling, as in annotations and answer options."""
    return str(label)


def known_label(slug: str, text: str) -> str:
    """Canonical spelling of a label; raises `UnknownTerm` or `UnknownDimension`."""
    return label_text(dimension_named(slug).parse(text))
