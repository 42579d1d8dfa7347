"""Cut the shots of a film for labelling, and read back which frames their media show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

from data_pipeline.annotations.annotation_table import AnnotatedRange
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.cut_shots import cut_shots
from data_pipeline.films.film_sources import FilmSource
from lmms_eval_shotbench.labelling.shot import FilmShot
from tests.support.made_films import clip_frames, number_on


class ShotsOf:
    """The shots of one film, with their media in the folder `media` beside it."""

    def __init__(
        self, film: Path, listed: Sequence[AnnotatedRange] | None = None, limit: int = 0, **settings: Any
    ) -> None:
        self.folder = film.with_name("media")
        self.folder.mkdir()
        source = FilmSource("heat", film.name, film)
        cut = cut_shots(source, self.folder, "media", CutSettings(**settings), listed, limit)
        self.facts, self.shots = cut.facts, cut.shots
        self._labels = film.parent

    @property
    def ranges(self) -> list[tuple[int, int]]:
        return [(shot.first_frame, shot.end_frame) for shot in self.shots]

    def number_of_still(self, shot: FilmShot) -> int:
        """Number of the frame that the key still shows."""
        return number_on(numpy.asarray(Image.open(self._labels / shot.still)))

    def numbers_of_clip(self, shot: FilmShot) -> list[int]:
        """Numbers of the frames that the clip shows."""
        return [number_on(picture) for _, picture in clip_frames(self._labels / shot.clip)]

    def size_of_still(self, shot: FilmShot) -> tuple[int, int]:
        """Width and height."""
        return Image.open(self._labels / shot.still).size
