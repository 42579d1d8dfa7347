"""Shot sheets of drawn stills and tiny clips, with labels drawn from a number."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

from lmms_eval_shotbench.labelling.label_cell import LabelCell, Status
from lmms_eval_shotbench.labelling.shot import FilmFacts, FilmShot
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow, ShotSheet, read_sheet, write_sheet
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension
from tests.support.drawn_shots import draw
from tests.support.rendered_clips import Rendering, render

RATE = Fraction(24)
MODEL = "drawn@1 by probability"
CLIPS = 4  # different ones in a sheet


def drawn_sheet(
    folder: Path, shots: int = 12, films: tuple[str, ...] = ("harbour",), *, media: bool = True
) -> ShotSheet:
    """Write a sheet and its media to a folder, and return it; each film has the same number of shots."""
    facts = [
        FilmFacts(film, f"{film}.mp4", f"/films/{film}.mp4", RATE, 48 * shots, 320, 180, "01:00:00:00")
        for film in films
    ]
    rows = [
        _row(folder, film, index, number, media) for index, film in enumerate(films) for number in range(1, shots + 1)
    ]
    write_sheet(folder, ShotSheet(facts, rows, {"command": ["shotbench", "label"]}))
    return read_sheet(folder)


def _row(folder: Path, film: str, index: int, number: int, media: bool) -> SheetRow:
    name = f"film-{index}/{number:04d}"
    start, frames = 2.0 * (number - 1), 48
    shot = FilmShot(
        f"film-{index}-{number:04d}",
        film,
        number,
        f"media/{name}.jpg" if media else "",
        f"media/{name}.mp4" if media else "",
        frames * (number - 1),
        frames * number,
        start,
        start + frames / RATE.numerator,
    )
    if media:
        path = folder / shot.still
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw(1000 * index + number))
        (folder / shot.clip).write_bytes(render(Rendering(6, start=number % CLIPS)))
    return SheetRow(shot, {dimension.slug: drawn_cell(dimension, f"{film} {number}") for dimension in DIMENSIONS})


def drawn_cell(dimension: Dimension, seed: str) -> LabelCell:
    """A cell with a random label: most are labelled, some say nothing, some are unsure."""
    chance = random.Random(f"{dimension.slug} {seed}")
    terms = [term.name for term in chance.sample(dimension.terms, 3)]
    confidence = round(chance.uniform(0.5, 1.0), 3)
    others = ((terms[1], round((1 - confidence) * 0.7, 3)), (terms[2], round((1 - confidence) * 0.3, 3)))
    status = chance.choices(list(Status), [7, 1.5, 1.5])[0]
    if status is Status.NONE:
        return LabelCell(status, "", confidence, 1.0, MODEL, others)
    certain = confidence if status is Status.LABELLED else confidence / 2
    contradictions = (f"{terms[0]} cannot be true with the rest",) if chance.random() < 0.05 else ()
    return LabelCell(status, terms[0], round(certain, 3), 1.0, MODEL, others, contradictions)
