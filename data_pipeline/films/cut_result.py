"""The results of one film while it is being cut: shots, defects, and the folder of its media.

Owns the names of media files and the creation of `LabelledShot`s and `Defect`s from rows. What is cut is decided in
`cut_film.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline.annotations.annotation_table import AnnotatedRange
from data_pipeline.defects import Defect, DefectKind, Flaw
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.frame_progress import FrameCount
from data_pipeline.films.quality import thumbnail_distance
from data_pipeline.labelled_shot import LabelledShot
from lmms_eval_shotbench.vocabulary import MediaKind

if TYPE_CHECKING:
    import numpy

SOURCE = "own film"


@dataclass
class Cutting:
    """Results of a film so far."""

    folder: Path  # of the media files
    media_path: str  # of this folder, relative to the work folder
    settings: CutSettings
    count: FrameCount = field(default_factory=FrameCount)  # of frames that are decoded
    shots: list[LabelledShot] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)  # perceptual hashes of frames spread over the film's files
    thumbnails: dict[str, numpy.ndarray] = field(default_factory=dict)  # of stills, by shot id; see `thumbnail`

    def lose(self, row: AnnotatedRange, flaw: Flaw) -> None:
        """Record that a row, or its still or clip, is dropped."""
        self.defects.append(Defect(flaw.kind, row.line, row.shot_id, row.media, flaw.detail, loses_row=True))

    def warn(self, row: AnnotatedRange, flaw: Flaw) -> None:
        """Record a warning about a row that is kept."""
        self.defects.append(Defect(flaw.kind, row.line, row.shot_id, row.media, flaw.detail, loses_row=False))

    def note(self, media: str, flaw: Flaw) -> None:
        """Record a remark about a file."""
        self.defects.append(Defect(flaw.kind, 0, "", media, flaw.detail, loses_row=False))

    def path(self, row: AnnotatedRange, kind: MediaKind, suffix: str) -> Path:
        """Path of a shot's media file."""
        return self.folder / f"{row.shot_id}-{kind}{suffix}"

    def keep(self, row: AnnotatedRange, kind: MediaKind, path: Path, start: float | None, end: float | None) -> None:
        """Record a shot whose media file has been written; `start` and `end` are seconds in the film."""
        from data_pipeline.checks.duplicates import picture_hash

        encoded = path.read_bytes()
        shot = LabelledShot(
            f"{row.shot_id}-{kind}",
            row.film_id,
            kind,
            f"{self.media_path}/{path.name}",
            hashlib.sha256(encoded).hexdigest(),
            row.labels_of(kind),
            start,
            end,
            picture_hash(kind, encoded),
            SOURCE,
            row.licence,
            row.provenance_of(kind),
            row.line,
        )
        self.shots.append(shot)


def drop_duplicate_shots(cutting: Cutting) -> None:
    """Drop identical shots and near-identical stills of one film, keeping the first in the table."""
    shots, cutting.shots = sorted(cutting.shots, key=lambda shot: (shot.line, shot.shot_id)), []
    for shot in shots:
        if detail := _duplicate_of(shot, cutting):
            cutting.defects.append(shot.loss(DefectKind.DUPLICATE_PICTURE, detail))
        else:
            cutting.shots.append(shot)


def _duplicate_of(shot: LabelledShot, cutting: Cutting) -> str:
    """Detail text naming the kept shot that this one duplicates; empty if it duplicates none."""
    for other in cutting.shots:
        if other.media_sha256 == shot.media_sha256:
            return f"the same frames as {other.shot_id}"
        if shot.shot_id in cutting.thumbnails and other.shot_id in cutting.thumbnails:
            difference = thumbnail_distance(cutting.thumbnails[shot.shot_id], cutting.thumbnails[other.shot_id])
            if difference < cutting.settings.same_still_distance:
                return f"looks like {other.shot_id}: distance {difference:.3f}"
    return ""
