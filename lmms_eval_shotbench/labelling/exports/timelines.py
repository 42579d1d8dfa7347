"""Timelines for editing systems: LABELS/timelines/FILM.otio, .edl, .fcpxml and .xml.

All hold the same cuts, in media frames at the film's exact rate, and one marker a shot whose text names size, angle and
movement. What each cannot carry:

.otio    OpenTimelineIO, opened by DaVinci Resolve. Nothing is missing: every cell with its confidence, agreement,
         source and status is in `clip.metadata["shotbench"]`, which has a schema number.
.edl     CMX 3600, opened by nearly everything. No frame rate (drop frame or not is stated; set the rate when
         importing) and no picture size. Labels are comments, without confidence; markers are ASCII. Numbers above 999
         have four digits, which CMX 3600 proper does not have.
.fcpxml  Final Cut Pro, DaVinci Resolve; version 1.8. Labels are the marker's note, without confidence.
.xml     Final Cut Pro 7 (xmeml 4), opened by Premiere and DaVinci Resolve. Labels are the marker's comment, without
         confidence. Frame rates are whole numbers, or those divided by 1.001.

Only `.otio` is written by a library. The adapters of OpenTimelineIO write `frameDuration=""` at 23.976 (fcpx_xml), drop
frame without asking and no record timecode (cmx_3600), no picture size (fcp_xml), and refuse 12 or 16 frames per
second. They read our files to the frame, except that fcpx_xml rounds times down, and at 23.976 counts 23 frames a
second; `timeline_shots.py` reads all four. The film's sound is left out. Stills have no timeline.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.labelling.exports.film_timeline import FilmTimeline, film_timeline
from lmms_eval_shotbench.labelling.exports.timeline_edl import edl
from lmms_eval_shotbench.labelling.exports.timeline_otio import otio_json
from lmms_eval_shotbench.labelling.exports.timeline_xml import fcpxml, xmeml
from lmms_eval_shotbench.labelling.shot_sheet import ShotSheet

TIMELINES = "timelines"  # folder
FORMATS: dict[str, Callable[[FilmTimeline], str]] = {".otio": otio_json, ".edl": edl, ".fcpxml": fcpxml, ".xml": xmeml}
logger = logging.getLogger(__name__)


def write_timelines(folder: Path, sheet: ShotSheet) -> list[Path]:
    """Write the timelines of every film of a sheet and return their paths; what is not exact in them is logged.

    Those of an earlier run of films that have no shots now are removed.
    """
    written: list[Path] = []
    for film, paths in zip(sheet.films, _paths(folder, [film.film_id for film in sheet.films]), strict=True):
        timeline = film_timeline(film, sheet.of_film(film.film_id))
        if timeline is None:
            _remove(paths)
            continue
        for note in timeline.notes:
            logger.warning("%s", note)
        for path in paths:
            write_atomic(path, FORMATS[path.suffix](timeline))
        written += paths
    return written


def remove_timelines(folder: Path, film_ids: Sequence[str]) -> bool:
    """Remove the timelines of all films of a sheet, and their folder if it is empty then; whether there were any."""
    removed = _remove(path for paths in _paths(folder, film_ids) for path in paths)
    with suppress(OSError):  # it is not there, or has other files
        (folder / TIMELINES).rmdir()
    return removed


def _remove(paths: Iterable[Path]) -> bool:
    there = [path for path in paths if path.exists()]
    for path in there:
        path.unlink()
    return bool(there)


def _paths(folder: Path, film_ids: Iterable[str]) -> list[list[Path]]:
    """The files of each film of a sheet, whether they exist or not."""
    taken: set[str] = set()
    stems = [_stem(film_id, taken) for film_id in film_ids]
    return [[folder / TIMELINES / f"{stem}{suffix}" for suffix in FORMATS] for stem in stems]


def _stem(film_id: str, taken: set[str]) -> str:
    """A file name for a film, which differs from those taken also where case is ignored."""
    plain = re.sub(r"[^\w.-]+", "-", film_id).strip("-.")[:100] or "film"
    numbered = (plain, *(f"{plain}-{number}" for number in range(2, len(taken) + 3)))
    stem = next(one for one in numbered if one.casefold() not in taken)
    taken.add(stem.casefold())
    return stem
