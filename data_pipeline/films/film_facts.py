"""What labels and timelines state about a film: rate, length, size, timecode, and what probing it revealed."""

from __future__ import annotations

from dataclasses import replace

from data_pipeline.films.cut_film import film_warnings
from data_pipeline.films.cut_media import shown_size
from data_pipeline.films.film_probe import BrokenFilm, Film, probe_film
from data_pipeline.films.film_sources import FilmSource
from data_pipeline.films.letterbox import Crop
from lmms_eval_shotbench.labelling.shot import FilmFacts


def probed_facts(source: FilmSource) -> FilmFacts:
    """The facts about a film file, which is read but not decoded; without a frame rate if it cannot be read."""
    try:
        return facts_of(probe_film(source.path), source)
    except (BrokenFilm, OSError):  # reported when it is cut
        return source.facts


def facts_of(film: Film, source: FilmSource) -> FilmFacts:
    """The facts about a film that was probed."""
    width, height = shown_size(film, Crop.full_frame(film.width, film.height), 0)
    defects = [flaw.detail for flaw in film_warnings(film)]
    if _has_variable_rate(film):
        defects.append(f"its frame rate varies: {float(film.rate):.6g} frames a second is the average")
    return replace(
        source.facts,
        frame_rate=film.rate,
        frames=film.frames,
        width=width,
        height=height,
        start_timecode=film.start_timecode,
        defects=tuple(defects),
    )


def _has_variable_rate(film: Film) -> bool:
    """Whether a frame is shown more than one frame away from where a constant rate would show it."""
    ticks_per_frame = float(1 / (film.rate * film.tick))
    start = film.times[0]
    return any(abs(time - start - number * ticks_per_frame) > ticks_per_frame for number, time in enumerate(film.times))
