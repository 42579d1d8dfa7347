"""Cut films by a table of rows, and read back which frames the media show."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

from data_pipeline.defects import Defect, DefectKind
from data_pipeline.films.cut_films import cut_films
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.labelled_shot import LabelledShot
from data_pipeline.workers import Workers
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.made_films import clip_frames, number_on

COLUMNS = ("film_id", "media", "start", "end", "still", "shot_size", "camera_movement", "shot_id")


HERE = Workers()


class Cut:
    """Result of cutting the films in a folder by one table."""

    def __init__(self, folder: Path, rows: Sequence[dict[str, Any]], workers: Workers = HERE, **settings: Any) -> None:
        self.folder, self.defects = folder, list[Defect]()
        table = folder / "table.csv"
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, dict.fromkeys([*COLUMNS, *(column for cells in rows for column in cells)]))
            writer.writeheader()
            writer.writerows(rows)
        run = cut_films(table, folder, folder / "work", CutSettings(**settings), workers, self.defects)
        self.shots = list(run)

    def numbers(self, shot: LabelledShot) -> list[int]:
        """Frame numbers of the film that a shot shows."""
        path = self.folder / "work" / shot.media_path
        if shot.media_kind is MediaKind.STILL:
            return [number_on(numpy.asarray(Image.open(path)))]
        return [number_on(picture) for _, picture in clip_frames(path)]

    @property
    def losses(self) -> list[tuple[DefectKind, int]]:
        return [(defect.kind, defect.line) for defect in self.defects if defect.loses_row]


def row(start: float | str = "", end: float | str = "", size: str = "", move: str = "", **more: Any) -> dict[str, Any]:
    cells = {"film_id": "heat", "media": "heat.mp4", "start": start, "end": end, "shot_size": size}
    return cells | {"camera_movement": move} | more
