"""Label films with a model: films become shots with media, shots votes, votes the labels of a shot sheet.

Owns the order of these steps; what is refused before them is in `label_folder.py`. Each resumes by itself: media are
kept film by film (`films/label_media.py`), votes by what asks the model, and everything after them is computed again in
seconds, so a run that was killed at any moment ends with the same files. The other direction, from a shot sheet to
shards, is `shotbench data films --table LABELS/shots.csv`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from data_pipeline.annotations.annotation_table import AnnotatedRange
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.cut_shots import CutShots
from data_pipeline.films.detectors import check_detector
from data_pipeline.films.film_sources import FilmSource
from data_pipeline.films.label_media import LabelUnit, cut_units
from data_pipeline.label_folder import check_label_folder, labelled_films, remove_other_films
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.full_disk import disk_full_reported
from data_pipeline.workers import Workers
from lmms_eval_shotbench.labelling.apply_corrections import Overlaid, overlay
from lmms_eval_shotbench.labelling.asking.asker import Asker
from lmms_eval_shotbench.labelling.corrections import Correction, stored_corrections
from lmms_eval_shotbench.labelling.deciding.calibration import Calibration
from lmms_eval_shotbench.labelling.deciding.contradictions import contradictions_of
from lmms_eval_shotbench.labelling.deciding.decide import decide
from lmms_eval_shotbench.labelling.exports.caption_template import CaptionTemplate
from lmms_eval_shotbench.labelling.label_cell import LabelCell
from lmms_eval_shotbench.labelling.label_files import write_label_files
from lmms_eval_shotbench.labelling.shot import FilmFacts, FilmShot
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow, ShotSheet
from lmms_eval_shotbench.labelling.vote import Vote
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, MediaKind


class NothingLabelled(ValueError):
    """No film has a shot that can be labelled; the message says why."""


@dataclass(frozen=True)
class LabelRequest:
    """What is labelled, and how its shots are found."""

    films: Sequence[FilmSource]
    out: Path  # LABELS
    settings: CutSettings
    dimensions: Sequence[Dimension] = DIMENSIONS
    listed: Mapping[str, Sequence[AnnotatedRange]] | None = None  # times of shots by `media`; None: detect them
    limit: int = 0  # maximum number of shots of each film; 0: all
    calibration: Calibration | None = None
    min_confidence: float | None = None  # from 0 to 1; None: the calibration's own
    workers: Workers = field(default_factory=Workers)
    page: bool = True
    timelines: bool = True
    captions: CaptionTemplate | None = None  # None: none are written
    overwrite: bool = False
    run: Mapping[str, Any] = field(default_factory=dict)  # what `labels.json` says about the run


class ReplacedFilm(NamedTuple):
    """A film of another content than in an earlier run, with cells that a person had set there."""

    film: FilmFacts
    before: FilmFacts
    cells: int

    def __str__(self) -> str:
        changed = "is not the file that it was"
        if self.film.frames != self.before.frames:
            changed = f"has {self.film.frames:,} frames, and had {self.before.frames:,}"
        return (
            f"{self.film.media} {changed} when it was labelled before: the cells that a person set then "
            f"({self.cells:,}) are where the times of their shots are now; if it is another film, give it another "
            "name, or delete its lines from corrections.csv"
        )


@dataclass(frozen=True)
class LabelledFilms:
    """The sheet that was written, and what of the folder is not part of it."""

    sheet: ShotSheet
    lost: Sequence[Correction]  # whose shot does not exist any more
    removed: Sequence[str] = ()  # files and folders of an earlier run that this one was not to write
    replaced: Sequence[ReplacedFilm] = ()

    @property
    def films_without_shots(self) -> list[FilmFacts]:
        """Films that could not be labelled."""
        with_shots = {row.shot.film_id for row in self.sheet.shots}
        return [film for film in self.sheet.films if film.film_id not in with_shots]

    @property
    def shots_without_votes(self) -> list[FilmShot]:
        """Shots that no model could be asked about."""
        return [row.shot for row in self.sheet.shots if not row.votes]


def label_films(request: LabelRequest, askers: Sequence[Asker]) -> LabelledFilms:
    """Label films and write the sheet; cells that a person has set are kept.

    Args:
        askers: What asks the models; each gives votes on every shot.

    Raises:
        DiskFull: the disk is full; what is cut and asked is kept.
        WriteRefused: the folder has labels of other films, and `overwrite` is not set; or it has files that are no
            labels, or another process writes there.
        NothingLabelled: no film could be cut.
    """
    check_detector(request.settings)
    with only_writer(request.out), disk_full_reported(request.out):
        film_ids = [film.film_id for film in request.films]
        check_label_folder(request.out, film_ids, overwrite=request.overwrite)
        cut = cut_films_to_label(request)
        shots = [shot for film in cut for shot in film.shots]
        if not shots:
            reasons = "; ".join(f"{film.facts.media}: {', '.join(film.facts.defects)}" for film in cut)
            raise NothingLabelled(f"no film has a shot that can be labelled: {reasons}")
        shots, votes = votes_of(shots, askers, request.out, request.dimensions)
        rows = [SheetRow(shot, cells_of(shot, votes[shot.shot_id], request), votes[shot.shot_id]) for shot in shots]
        models = list(dict.fromkeys(f"{asker.model} ({asker.way})" for asker in askers))
        sheet = ShotSheet([film.facts for film in cut], rows, {**request.run, "models": models})
        overlaid = overlay(sheet, stored_corrections(request.out))
        replaced = list(_replaced_films(request.out, overlaid))
        remove_other_films(request.out, film_ids)
        removed = write_label_files(
            request.out,
            overlaid.sheet,
            timelines=request.timelines,
            captions=request.captions is not None,
            page=request.page,
            template=request.captions,
        )
    return LabelledFilms(overlaid.sheet, overlaid.lost, removed, replaced)


def _replaced_films(folder: Path, overlaid: Overlaid) -> Iterator[ReplacedFilm]:
    before = {film.film_id: film for film in labelled_films(folder)}
    cells = Counter(one.film_id for one in overlaid.applied)
    for film in overlaid.sheet.films:
        earlier = before.get(film.film_id, film)
        same = (film.frames, film.frame_rate) == (earlier.frames, earlier.frame_rate)
        if film.content and earlier.content:  # sheets of earlier versions have none
            same = film.content == earlier.content
        if cells[film.film_id] and not same:
            yield ReplacedFilm(film, earlier, cells[film.film_id])


def cut_films_to_label(request: LabelRequest) -> list[CutShots]:
    """Cut the shots of all films, or load those that an earlier run has cut; in the order of the films."""
    out = request.out.absolute()  # workers may have another working directory
    units = [
        LabelUnit(
            source,
            out,
            request.settings,
            None if request.listed is None else tuple(request.listed.get(source.media, ())),
            request.limit,
        )
        for source in request.films
    ]
    return cut_units(units, request.workers)


def votes_of(
    shots: Sequence[FilmShot], askers: Sequence[Asker], folder: Path, dimensions: Sequence[Dimension]
) -> tuple[list[FilmShot], dict[str, list[Vote]]]:
    """Ask all models about all shots, one model after the other.

    Returns:
        The shots, with remarks of the askers, and the votes by shot id.
    """
    votes: dict[str, list[Vote]] = {shot.shot_id: [] for shot in shots}
    for asker in askers:
        asked = list(asker.votes(shots, folder, dimensions))
        for shot, given in asked:
            votes[shot.shot_id] += given
        shots = [shot for shot, _ in asked]
    return list(shots), votes


def cells_of(shot: FilmShot, votes: Sequence[Vote], request: LabelRequest) -> dict[str, LabelCell]:
    """The cells of a shot, with what they contradict; a dimension for which it has no medium has none."""
    media = {MediaKind.STILL: shot.still, MediaKind.CLIP: shot.clip}
    cells = {
        dimension.slug: decide(dimension, votes, request.calibration, request.min_confidence)
        for dimension in request.dimensions
        if media[dimension.media_kind]
    }
    found = contradictions_of(cells)
    return {slug: replace(cell, contradictions=found.get(slug, ())) for slug, cell in cells.items()}
