"""Shot ranges out of a timeline: which frames of which film each clip of an editing system's cut shows.

Two kinds of timelines are cuts of a film. Where clips name a film by its file, as in a timeline into which the film
was cut by hand or by a cut detector, a clip's source frames are the shot. Where none does and there is one film, the
film is taken to be the timeline played out, and a clip's position in the timeline is the shot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lmms_eval_shotbench.labelling.exports.timeline_cuts import TimelineCut, timeline_cuts
from lmms_eval_shotbench.labelling.exports.timeline_files import BadTimeline, load_timeline
from lmms_eval_shotbench.labelling.exports.timeline_otio import opentimelineio
from lmms_eval_shotbench.labelling.shot import FilmFacts
from lmms_eval_shotbench.labelling.timecode import BadTimecode, editing_rate, timecode_number

NAMED = 5  # clips or files listed in a message


class TimelineShot(NamedTuple):
    """Frames `first_frame` to `end_frame` - 1 of a film, counted from 0, and the name of the clip."""

    film_id: str
    first_frame: int
    end_frame: int
    name: str


class TimelineShots(NamedTuple):
    """Shots in the order of films and time, without repetitions; remarks say what was decided, as sentences."""

    shots: list[TimelineShot]
    remarks: list[str]


def read_shot_ranges(path: Path, films: Sequence[FilmFacts]) -> TimelineShots:
    """Read the shots of films out of .otio, EDL, FCPXML or Final Cut 7 XML.

    A dissolve or wipe is cut at its middle. Of several video tracks the first that has clips counts.

    Raises:
        BadTimeline: it cannot be parsed, has no clips, names none of several films, changes the speed of a clip, or
            shows frames that the film does not have.
    """
    rates = {editing_rate(film.frame_rate) or film.frame_rate for film in films if film.frame_rate}
    if not rates:
        raise BadTimeline(f"{path}: a timeline gives shots of films, and there is none among the media; name the film")
    if path.suffix.lower() == ".edl" and len(rates) > 1:
        listed = ", ".join(f"{float(rate):.6g}" for rate in sorted(rates))
        raise BadTimeline(f"{path}: an EDL has one frame rate, but the films have {listed}; label them one by one")
    remarks: list[str] = []
    timeline = load_timeline(path, next(iter(rates)))
    try:
        cuts = timeline_cuts(path, timeline, remarks)
    except opentimelineio().exceptions.OTIOError as error:  # such as a clip without a duration
        raise BadTimeline(f"{path} has a clip whose frames are not known: {error}") from error
    films = [film for film in films if film.frame_rate]
    names = _by_name(films)
    found: dict[str, list[TimelineCut]] = {}
    others: list[str] = []
    for cut in cuts:
        film = _film_of(cut, names)
        if film is None:
            others.append(cut.media[0] if cut.media else cut.name)
        else:
            found.setdefault(film.film_id, []).append(cut)
    shots: list[TimelineShot] = []
    if found:
        if others:
            remarks.append(f"Clips of other media, which are left out: {len(others)} ({_listed(others)})")
        for film in films:
            shots += _by_source(path, film, found.get(film.film_id, []))
    elif len(films) == 1:
        remarks.append(
            f"No clip of {path.name} is of {films[0].media}, but of {_listed(others)}: the film is taken to be this "
            "timeline played out, and the positions of the clips are its shots"
        )
        shots = _by_position(path, films[0], cuts)
    else:
        raise BadTimeline(
            f"{path}: its clips are of {_listed(others)}, not of {_listed([film.media for film in films])}; give the "
            "films that it was cut from, or the one that is the timeline played out"
        )
    for film in films:
        ends = [end for cut in found.get(film.film_id, []) for end in cut.source]
        ends = ends if found else [end for cut in cuts for end in cut.position]
        remarks += _about_rates(path, film, cuts[0].rate, ends)
    return TimelineShots(list(dict.fromkeys(shots)), remarks)


def _about_rates(path: Path, film: FilmFacts, rate: Fraction, ends: Sequence[int]) -> list[str]:
    """A remark if the beginning or the end of a shot is between two frames of the film."""
    film_rate = film.frame_rate or rate
    film_rate = editing_rate(film_rate) or film_rate
    if all((end / rate * film_rate).denominator == 1 for end in ends):
        return []
    rates = f"{float(rate):.6g} frames per second, {film.media} at {float(film_rate):.6g}"
    return [f"{path.name} runs at {rates}: its shots are converted by time and may be a frame off"]


def _by_name(films: Sequence[FilmFacts]) -> Mapping[str, Sequence[FilmFacts]]:
    """The films by file name, by file name without suffix and by film id, in lower case."""
    names: dict[str, list[FilmFacts]] = {}
    for film in films:
        for name in {Path(film.path).name.casefold(), Path(film.path).stem.casefold(), film.film_id.casefold()}:
            names.setdefault(name, []).append(film)
    return names


def _film_of(cut: TimelineCut, names: Mapping[str, Sequence[FilmFacts]]) -> FilmFacts | None:
    """The film of a clip; of several with one name, as on the cards of a camera, the one whose path ends most alike."""
    for name in cut.media:
        films = names.get(name.casefold(), ())
        if len(films) > 1:
            alike = [_common_tail(cut.file or name, film.path) for film in films]
            films = [film for film, length in zip(films, alike, strict=True) if length == max(alike)]
        if len(films) == 1:
            return films[0]
    return None


def _common_tail(one: str, other: str) -> int:
    """The number of last parts that two paths have in common."""
    pairs = zip(reversed(PurePosixPath(one).parts), reversed(PurePosixPath(other).parts), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _by_source(path: Path, film: FilmFacts, cuts: Sequence[TimelineCut]) -> list[TimelineShot]:
    """Shots by the clips' source frames, which count from the timecode of the media's first frame or from 0."""
    if not cuts:
        return []
    if retimed := next((cut for cut in cuts if cut.is_retimed), None):
        raise BadTimeline(
            f"{path}: clip {retimed.name} plays {film.media} at another speed, so its frames are not known; remove the "
            "speed change, or label the timeline played out"
        )
    starts = [cut.media_start for cut in cuts if cut.media_start is not None][:1]
    ranges = [cut.source for cut in cuts]
    return _inside(path, film, cuts, ranges, [*starts, *_timecode_start(film, cuts[0].rate), 0])


def _by_position(path: Path, film: FilmFacts, cuts: Sequence[TimelineCut]) -> list[TimelineShot]:
    """Shots by the clips' positions, which count from 0, from the film's timecode or from a whole hour."""
    hour = 3600 * round(cuts[0].rate)
    ranges = [cut.position for cut in cuts]
    starts = [*_timecode_start(film, cuts[0].rate), 0, ranges[0][0] // hour * hour]
    return _inside(path, film, cuts, ranges, starts)


def _timecode_start(film: FilmFacts, rate: Fraction) -> list[int]:
    """The number of the film's first frame in its own timecode, if it has one, in frames of a timeline's rate."""
    film_rate = editing_rate(film.frame_rate or rate) or rate
    try:
        return (
            [round(timecode_number(film.start_timecode, film_rate) / film_rate * rate)] if film.start_timecode else []
        )
    except BadTimecode:
        return []


def _inside(
    path: Path, film: FilmFacts, cuts: Sequence[TimelineCut], ranges: Sequence[tuple[int, int]], starts: Sequence[int]
) -> list[TimelineShot]:
    """The ranges in frames of the film, counted from the first start that puts all of them inside it."""
    rate = film.frame_rate or Fraction(1)
    film_rate = editing_rate(rate) or rate
    tried = []
    for start in dict.fromkeys(starts):
        shots = []
        for cut, (first, end) in zip(cuts, ranges, strict=True):
            first, end = (round((frame - start) / cut.rate * film_rate) for frame in (first, end))
            if cut.rate != film_rate and end - film.frames <= film_rate / cut.rate:
                end = min(end, film.frames)  # the last frame of the timeline may last longer than the film
            shots.append(TimelineShot(film.film_id, first, end, cut.name))
        if all(0 <= shot.first_frame < shot.end_frame <= film.frames for shot in shots):
            return sorted(shots)
        tried.append(shots)
    wrong = next(shot for shot in tried[0] if not 0 <= shot.first_frame < shot.end_frame <= film.frames)
    raise BadTimeline(
        f"{path}: clip {wrong.name} shows frames {wrong.first_frame:,} to {wrong.end_frame - 1:,} of {film.media}, "
        f"which has {film.frames:,} at {float(rate):.6g} frames per second; is the timeline of this file and rate?"
    )


def _listed(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - NAMED} more" if len(unique) > NAMED else ""
    return ", ".join(unique[:NAMED]) + more
