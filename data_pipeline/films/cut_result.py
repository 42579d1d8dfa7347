"""What has come of one film while it is being cut: shots, losses, and the folder that media go to.

Owns the names of media files and the making of `LabelledShot`s and `Defect`s of rows. What is cut is decided in
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
from data_pipeline.films.quality import distance
from data_pipeline.labelled_shot import LabelledShot
from lmms_eval_shotbench.vocabulary import MediaKind

if TYPE_CHECKING:
    import numpy

SOURCE = "own film"


@dataclass
class Cutting:
    """What has come of a film so far; lines of the table tell shots apart until all media are cut."""

    folder: Path  # where media go
    media_path: str  # of this folder, as shots name it
    settings: CutSettings
    shots: list[tuple[int, LabelledShot]] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)
    thumbnails: dict[str, numpy.ndarray] = field(default_factory=dict)  # of stills, by shot id

    def lose(self, row: AnnotatedRange, flaw: Flaw) -> None:
        """Note that a row, or one of its two shots, is lost."""
        self.defects.append(Defect(flaw.kind, row.line, row.shot_id, row.media, flaw.detail, loses_row=True))

    def warn(self, row: AnnotatedRange, flaw: Flaw) -> None:
        """Note something that is no loss."""
        self.defects.append(Defect(flaw.kind, row.line, row.shot_id, row.media, flaw.detail, loses_row=False))

    def path(self, row: AnnotatedRange, kind: MediaKind, suffix: str) -> Path:
        """Where a shot's medium goes."""
        return self.folder / f"{row.shot_id}-{kind}{suffix}"

    def keep(self, row: AnnotatedRange, kind: MediaKind, path: Path, start: float | None, end: float | None) -> None:
        """Note a shot whose medium is written."""
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
        )
        self.shots.append((row.line, shot))


def drop_repeated(cutting: Cutting) -> None:
    """Of shots of one film that are the same, and of stills that look the same, keep the first of the table."""
    cutting.shots.sort(key=lambda entry: (entry[0], entry[1].shot_id))
    entries, cutting.shots = cutting.shots, []
    for line, shot in entries:
        if likeness := _likeness(shot, cutting):
            (cutting.folder / Path(shot.media_path).name).unlink()
            cutting.defects.append(
                Defect(DefectKind.DUPLICATE_PICTURE, line, shot.shot_id, shot.media_path, likeness, loses_row=True)
            )
        else:
            cutting.shots.append((line, shot))


def _likeness(shot: LabelledShot, cutting: Cutting) -> str:
    """Which of the shots kept so far it repeats; empty if none."""
    for _, other in cutting.shots:
        if other.media_sha256 == shot.media_sha256:
            return f"the same frames as {other.shot_id}"
        if shot.shot_id in cutting.thumbnails and other.shot_id in cutting.thumbnails:
            apart = distance(cutting.thumbnails[shot.shot_id], cutting.thumbnails[other.shot_id])
            if apart < cutting.settings.same_still_distance:
                return f"looks like {other.shot_id}: distance {apart:.3f}"
    return ""
