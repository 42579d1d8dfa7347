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
from collections.abc import Callable
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
    """Write the timelines of every film of a sheet and return their paths; what is not exact in them is logged."""
    written: list[Path] = []
    stems: set[str] = set()
    for film in sheet.films:
        timeline = film_timeline(film, sheet.of_film(film.film_id))
        if timeline is None:
            continue
        for note in timeline.notes:
            logger.warning("%s", note)
        stem = _stem(film.film_id, stems)
        for suffix, text in FORMATS.items():
            path = folder / TIMELINES / f"{stem}{suffix}"
            write_atomic(path, text(timeline))
            written.append(path)
    return written


def remove_timelines(folder: Path, film_id: str) -> None:
    """Remove the timelines of a film that is not labelled any more, before those of the others are written."""
    for suffix in FORMATS:
        (folder / TIMELINES / f"{_stem(film_id, set())}{suffix}").unlink(missing_ok=True)


def _stem(film_id: str, taken: set[str]) -> str:
    """A file name for a film, which differs from those taken also where case is ignored."""
    plain = re.sub(r"[^\w.-]+", "-", film_id).strip("-.")[:100] or "film"
    numbered = (plain, *(f"{plain}-{number}" for number in range(2, len(taken) + 3)))
    stem = next(one for one in numbered if one.casefold() not in taken)
    taken.add(stem.casefold())
    return stem
