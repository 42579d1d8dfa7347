"""The shots of films as an annotation table to fill, with their key frames on a page and as timelines.

    TABLE.csv              one row a shot: film, times, timecode, key frame (`still`), and empty columns of labels
    TABLE_shots/page.html  the key frames with the ids of their shots
    TABLE_shots/timelines  .otio, EDL, FCPXML and Final Cut 7 XML of every film
    TABLE_shots/media      the key frames, kept film by film, by which an interrupted run resumes

Films are cut as for `shotbench label` (`films/label_media.py`), without clips. The table is written last, and never
replaced by another without being asked: a person may have filled it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_pipeline.annotations.written_table import table_as_csv
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.cut_shots import CutShots
from data_pipeline.films.detectors import check_detector
from data_pipeline.films.film_sources import FilmSource
from data_pipeline.films.label_media import LabelUnit, cut_units
from data_pipeline.films.shot_page import shot_page
from data_pipeline.label_folder import check_label_folder
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.full_disk import disk_full_reported
from data_pipeline.workers import Workers
from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.labelling.exports.timelines import write_timelines
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow, ShotSheet, time_cells

# Of `CutSettings`: key frames are only looked at.
SHOT_DEFAULTS: dict[str, Any] = {"still_longest_side": 480, "still_quality": 85}
PAGE = "page.html"


class NoShots(ValueError):
    """No film has a shot; the message says why."""


@dataclass(frozen=True)
class ShotRequest:
    """Whose shots are found, and how."""

    films: Sequence[FilmSource]
    out: Path  # the table
    settings: CutSettings
    limit: int = 0  # maximum number of shots of each film; 0: all
    workers: Workers = field(default_factory=Workers)
    timelines: bool = True
    overwrite: bool = False


def found_shots_folder(table: Path) -> Path:
    """The folder of everything but the table."""
    return table.with_name(f"{table.stem}_shots")


def find_shots(request: ShotRequest) -> list[CutShots]:
    """Find the shots of films and write the table, the page and the timelines; returns the shots of every film.

    Raises:
        DiskFull: the disk is full; what is cut is kept.
        WriteRefused: the table is there with other content, or its folder has other files or another writer.
        NoShots: no film could be cut.
    """
    check_detector(request.settings)
    folder = found_shots_folder(request.out).absolute()  # workers may have another working directory
    refusal = WriteRefused(
        f"{request.out} is there already, and a person may have filled it; choose another --out, or replace it with "
        "--overwrite"
    )
    if request.out.exists() and not request.overwrite and not folder.exists():
        raise refusal
    with only_writer(folder), disk_full_reported(folder):
        check_label_folder(folder, [film.film_id for film in request.films], overwrite=True)
        units = [LabelUnit(one, folder, request.settings, None, request.limit, clips=False) for one in request.films]
        cut = cut_units(units, request.workers)
        if not any(film.shots for film in cut):
            reasons = "; ".join(f"{film.facts.media}: {', '.join(film.facts.defects)}" for film in cut)
            raise NoShots(f"no film has a shot: {reasons}")
        text = shot_table(cut)
        if request.out.exists() and not request.overwrite and request.out.read_bytes() != text.encode():
            raise refusal
        write_atomic(folder / PAGE, shot_page(cut))
        if request.timelines:
            rows = [SheetRow(shot, {}) for film in cut for shot in film.shots]
            write_timelines(folder, ShotSheet([film.facts for film in cut], rows))
        write_atomic(request.out, text)
    return cut


def shot_table(cut: Sequence[CutShots]) -> str:
    """The annotation table of the shots, without labels."""
    rows = []
    for film in cut:
        times = time_cells(film.facts, film.shots)
        for shot in film.shots:
            named = {"film_id": shot.film_id, "media": film.facts.media, "shot_id": shot.shot_id}
            still = "" if shot.still_seconds is None else f"{shot.still_seconds:.6f}"
            rows.append(named | times[shot.shot_id] | {"still": still})
    return table_as_csv(rows)
