"""An asker that draws its votes from the bytes of the medium, and stores them one by one as a real one does.

Run as a program, it labels the films of a folder: `python -m tests.support.drawn_votes FILMS LABELS`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.film_sources import find_films
from data_pipeline.label_films import LabelledFilms, LabelRequest, label_films
from lmms_eval_shotbench.labelling.exports.caption_template import read_caption_template
from lmms_eval_shotbench.labelling.shot import FilmShot
from lmms_eval_shotbench.labelling.vote import Vote, Way
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE, Dimension, MediaKind

DIMENSIONS = (SHOT_SIZE, CAMERA_MOVEMENT)


class DrawnVotes:
    """Votes that depend on the medium alone; `asked` counts those that were not stored."""

    way = Way.PROBABILITY

    def __init__(self, model: str = "drawn@1") -> None:
        self.model, self.asked = model, 0

    def votes(
        self, shots: Sequence[FilmShot], folder: Path, dimensions: Sequence[Dimension]
    ) -> Iterator[tuple[FilmShot, list[Vote]]]:
        store = folder / f"{self.model.partition('@')[0]}.jsonl"
        stored = {}
        if store.exists():
            lines = store.read_text().splitlines(keepends=True)
            stored = {row["medium"] + row["dimension"]: row for row in map(json.loads, lines) if row}
        for shot in shots:
            votes = []
            for dimension in dimensions:
                medium = shot.clip if dimension.media_kind is MediaKind.CLIP else shot.still
                if not medium:
                    continue
                if medium + dimension.slug not in stored:
                    self.asked += 1
                    row = self._vote(folder, medium, dimension).to_row()
                    with store.open("a") as lines_file:
                        lines_file.write(json.dumps(row) + "\n")
                    stored[medium + dimension.slug] = row
                votes.append(Vote.from_row(stored[medium + dimension.slug]))
            yield shot, votes

    def _vote(self, folder: Path, medium: str, dimension: Dimension) -> Vote:
        draw = Random(f"{self.model} {hashlib.sha256((folder / medium).read_bytes()).hexdigest()} {dimension.slug}")
        shares = [draw.random() for _ in dimension.terms]
        terms = {term.name: share / sum(shares) for term, share in zip(dimension.terms, shares, strict=True)}
        return Vote(dimension.slug, self.model, self.way, medium, "as filmed", terms)


def label_folder(films: Path, out: Path, *askers: DrawnVotes, **settings: Any) -> LabelledFilms:
    """Label the films of a folder."""
    request = LabelRequest(find_films([films], skipped=out), out, CutSettings(), DIMENSIONS, **settings)
    return label_films(request, askers or [DrawnVotes()])


if __name__ == "__main__":
    label_folder(Path(sys.argv[1]), Path(sys.argv[2]), captions=read_caption_template())
