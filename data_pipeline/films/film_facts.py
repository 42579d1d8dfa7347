"""What labels and timelines state about a film: rate, length, size, timecode, and what probing it revealed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from math import ceil

from data_pipeline.films.cut_film import film_warnings
from data_pipeline.films.cut_media import shown_size
from data_pipeline.films.film_probe import BrokenFilm, Film, probe_film
from data_pipeline.films.film_sources import FilmSource
from data_pipeline.films.letterbox import Crop
from lmms_eval_shotbench.labelling.shot import FilmFacts
from lmms_eval_shotbench.labelling.timecode import editing_rate, timeline_rate
from lmms_eval_shotbench.remote_path import Location

DIGESTED_BYTES = 1 << 20  # at the start and at the end of a file: its headers, its index and its first and last frames


def content_digest(path: Location) -> str:
    """Return a digest of a file's size and its first and last MiB, by which another file of its name is noticed."""
    size = path.stat().st_size
    digest = hashlib.sha256(f"{size} ".encode())
    with path.open("rb") as file:
        digest.update(file.read(DIGESTED_BYTES))
        file.seek(max(file.tell(), size - DIGESTED_BYTES))
        digest.update(file.read(DIGESTED_BYTES))
    return digest.hexdigest()[:32]


def probed_film(source: FilmSource) -> Film | None:
    """A film file, which is read but not decoded; None if it cannot be read."""
    try:
        return probe_film(source.path)
    except (BrokenFilm, OSError):  # reported when it is cut
        return None


def facts_of(film: Film, source: FilmSource) -> FilmFacts:
    """The facts about a film that was probed."""
    width, height = shown_size(film, Crop.full_frame(film.width, film.height), 0)
    defects = [flaw.detail for flaw in film_warnings(film)]
    if _rate_drift(film) > 1:
        defects.append(f"its frame rate varies: {float(film.rate):.6g} frames a second is the average")
    return replace(
        source.facts,
        frame_rate=film.rate,
        frames=film.frames,
        width=width,
        height=height,
        start_timecode=film.start_timecode,
        start_seconds=film.time_of(0),
        defects=tuple(defects),
    )


def facts_in_timeline(film: Film, source: FilmSource) -> FilmFacts:
    """The facts about a film as an editing system takes it, which shows all films at a constant rate."""
    facts = facts_of(film, source)
    if not _is_by_time(film):
        return facts
    rate = timeline_rate(film.rate)
    return replace(facts, frame_rate=rate, frames=ceil(film.seconds * rate))


def frame_from_timeline(film: Film, number: int) -> int:
    """The frame of a film that begins nearest to where a frame of `facts_in_timeline` begins."""
    if not _is_by_time(film):
        return number
    return film.first_frame_from(film.time_of(0) + (number - 0.5) / float(timeline_rate(film.rate)))


def _is_by_time(film: Film) -> bool:
    """Whether frame numbers of an editing system are not those of the film, but times at a constant rate."""
    return editing_rate(film.rate) is None or _rate_drift(film) > 1 / 2


def _rate_drift(film: Film) -> float:
    """By how many frames a frame is at most shown earlier or later than at a constant rate."""
    ticks_per_frame = float(1 / (film.rate * film.tick))
    start = film.times[0]
    return max(abs(time - start - number * ticks_per_frame) for number, time in enumerate(film.times)) / ticks_per_frame
