"""Shots that are given instead of detected: a table, PySceneDetect's scene list, or a timeline (.otio, EDL).

Owns which columns are read, which film a shot belongs to, and what becomes of overlapping shots. Of a table the columns
of times are read as in an annotation table, and `media`, the path of the film's file, which may be missing if one film
is labelled; all other columns are ignored. A scene list has no `media`: its own file name names the film.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from data_pipeline.annotations.annotation_files import BrokenLine, cell_text, read_raw_table
from data_pipeline.annotations.annotation_table import STILL_SUFFIXES, AnnotatedRange
from data_pipeline.annotations.columns import TableRefused, time_column
from data_pipeline.annotations.row_times import TimeColumn, TimeRole
from data_pipeline.annotations.time_notation import BadTime, TableTime, parse_time
from data_pipeline.annotations.tools.scene_list import ListedScene, film_of_scenes, read_scenes
from data_pipeline.defects import Flaw
from data_pipeline.films.cut_plan import frame_request_of
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.film_facts import facts_in_timeline, frame_from_timeline, probed_film
from data_pipeline.films.film_probe import Film
from data_pipeline.films.film_sources import FilmSource
from lmms_eval_shotbench.labelling.exports.timeline_files import SUFFIXES as TIMELINE_SUFFIXES
from lmms_eval_shotbench.labelling.exports.timeline_shots import read_shot_ranges


class FrameRanges(NamedTuple):
    """Half-open frame ranges of shots, sorted and disjoint, and why others were left out or changed."""

    ranges: list[tuple[int, int]]
    defects: list[str]


class ListedShots(NamedTuple):
    """The times of shots by the `media` of their film, and remarks about the list, as sentences."""

    by_medium: dict[str, list[AnnotatedRange]]
    remarks: list[str]


def read_shot_list(path: Path, films: Sequence[FilmSource]) -> ListedShots:
    """Read the shots of films from a table, scene list or timeline.

    Raises:
        TableRefused: the table cannot be read, has no times, a row is invalid or names no film or several.
        BadTimeline: the timeline cannot be used.
    """
    films = [film for film in films if not film.is_still]
    if path.suffix.lower() in TIMELINE_SUFFIXES:
        return _shots_of_timeline(path, films)
    return ListedShots(_shots_by_medium(path, _listed_rows(path), [film.media for film in films]), [])


def _shots_of_timeline(path: Path, films: Sequence[FilmSource]) -> ListedShots:
    media = {film.film_id: film.media for film in films}
    probed = {source.film_id: film for source in films if (film := probed_film(source))}
    facts = [facts_in_timeline(probed[source.film_id], source) for source in films if source.film_id in probed]
    found = read_shot_ranges(path, facts)
    by_medium: dict[str, list[AnnotatedRange]] = {film.media: [] for film in films}
    for number, shot in enumerate(found.shots, start=1):
        film = probed[shot.film_id]
        first, end = (frame_from_timeline(film, frame) for frame in (shot.first_frame, shot.end_frame))
        times = {
            TimeRole.START: (TableTime("first frame", str(first), frame=first),),
            TimeRole.END: (TableTime("end frame", str(end), frame=end),),
        }
        row = AnnotatedRange(number, "", media[shot.film_id], times, {}, f"clip {shot.name or number}", "")
        by_medium[row.media].append(row)
    return ListedShots(by_medium, found.remarks)


def _listed_rows(path: Path) -> list[AnnotatedRange]:
    """The rows of a table; `media` is empty where it names no film."""
    if not path.is_file():
        raise TableRefused(f"there is no table of shots {path}")
    if path.suffix.lower() == ".csv" and (scenes := read_scenes(path)):
        return [_listed_scene(scene, film_of_scenes(path)) for scene in scenes]
    raw = read_raw_table(path)
    columns = [column for name in raw.names if (column := time_column(name))]
    if not {TimeRole.END, TimeRole.DURATION} & {column.role for column in columns}:
        found = ", ".join(raw.names)
        raise TableRefused(f"{path} has no times of shots: columns start and end are read; it has {found}")
    listed = [_listed(path, line, row, columns) for line, row in raw.rows]
    return [row for row in listed if row.times]


def _listed(
    path: Path, line: int, row: Mapping[str, object] | BrokenLine, columns: Sequence[TimeColumn]
) -> AnnotatedRange:
    try:
        if isinstance(row, BrokenLine):
            raise row
        cells = {name.strip().casefold(): cell_text(name, value) for name, value in row.items()}
        times: dict[TimeRole, tuple[TableTime, ...]] = {}
        for column in columns:
            if text := cells.get(column.name.strip().casefold(), ""):
                times[column.role] = (*times.get(column.role, ()), parse_time(column.name, column.unit, text))
    except (BrokenLine, BadTime) as error:
        raise TableRefused(f"{path} line {line}: {error}") from None
    media = cells.get("media", "").replace("\\", "/")
    is_still = not times and PurePosixPath(media).suffix.lower() in STILL_SUFFIXES  # labelled in any case
    if not is_still and (TimeRole.START not in times or not times.keys() & {TimeRole.END, TimeRole.DURATION}):
        raise TableRefused(f"{path} line {line}: a shot has a start, and an end or a duration; write both or delete it")
    return AnnotatedRange(line, "", media, times, {}, f"line {line}", "")


def _listed_scene(scene: ListedScene, media: str) -> AnnotatedRange:
    times = {
        TimeRole.START: (TableTime("Start Frame", scene.cells["Start Frame"], frame=scene.first),),
        TimeRole.END: (TableTime("End Frame", scene.cells["End Frame"], frame=scene.end),),
    }
    return AnnotatedRange(scene.line, "", media, times, {}, f"line {scene.line}", "")


def _shots_by_medium(
    path: Path, listed: Sequence[AnnotatedRange], media: Sequence[str]
) -> dict[str, list[AnnotatedRange]]:
    """The listed shots of every film, named by its path, its file name or its file name without suffix."""
    by_name: dict[str, list[str]] = {}
    for one in media:
        for name in {one, PurePosixPath(one).name, PurePosixPath(one).stem}:
            by_name.setdefault(name.casefold(), []).append(one)
    shots: dict[str, list[AnnotatedRange]] = {one: [] for one in media}
    for row in listed:
        given = row.media.casefold()
        found = (by_name.get(given) or by_name.get(PurePosixPath(given).name, [])) if given else list(media)
        if row.media in shots:  # and not a film of this name in another folder
            found = [row.media]
        if len(found) != 1:
            named = f"{row.media!r} is none of the films" if given else "it does not name its film"
            many = f"{row.media!r} is the name of {' and '.join(found)}" if given and found else named
            advice = "write the path of its file in the column media"
            raise TableRefused(
                f"{path} line {row.line}: {many} ({', '.join(media[:5])}{' …' * (len(media) > 5)}); {advice}"
            )
        shots[found[0]].append(replace(row, media=found[0]))
    return shots


def frame_ranges(listed: Sequence[AnnotatedRange], film: Film, settings: CutSettings) -> FrameRanges:
    """The frames of listed shots; of two that overlap, the first is shortened by a few frames, or the second lost."""
    found: list[tuple[int, int, str]] = []
    defects: list[str] = []
    for row in listed:
        request = frame_request_of(row, film, settings)
        if isinstance(request, Flaw):
            defects.append(f"{row.shot_id} of the list: {request.detail}")
        else:
            found.append((request.first, film.frames if request.last is None else request.last, row.shot_id))
    ranges: list[tuple[int, int]] = []
    for first, last, name in sorted(found):
        overlap = ranges[-1][1] - first if ranges else 0
        if overlap > settings.trim_frames or (ranges and ranges[-1][0] >= first):
            defects.append(f"{name} of the list: it overlaps the shot before by {overlap} frames")
            continue
        if overlap > 0:
            defects.append(f"{name} of the list: the shot before was shortened by {overlap} frames that both have")
            ranges[-1] = (ranges[-1][0], first)
        ranges.append((first, last))
    return FrameRanges(ranges, defects)
