"""The films of a folder by the names under which other programs know them, each probed once when it is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from data_pipeline.annotations.annotation_table import FILM_SUFFIXES, STILL_SUFFIXES, AnnotatedRange
from data_pipeline.annotations.row_times import TimeRole
from data_pipeline.annotations.time_notation import TableTime
from data_pipeline.annotations.tools.timeline import TimelineFilm
from data_pipeline.annotations.tools.tool_annotation import Span
from data_pipeline.defects import Flaw
from data_pipeline.films.cut_plan import frame_request_of
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.film_facts import facts_in_timeline, facts_of, frame_from_timeline, probed_film
from data_pipeline.films.film_probe import Film
from data_pipeline.films.film_sources import FilmSource
from lmms_eval_shotbench.labelling.shot import FilmFacts
from lmms_eval_shotbench.runs.formatting import first_few

FEW = 3  # films named in a message
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the name of an uploaded file


def plain_paths(name: str) -> list[str]:
    """The paths that an address, or a path of another machine, may mean, most certain first; none begins with a slash.

    Label Studio has the path of a local file in the query (`/data/local-files/?d=films/a.mp4`), and puts eight digits
    before the name of an uploaded one.
    """
    before, _, query = name.replace("\\", "/").partition("?")
    paths = [name.replace("\\", "/")] if "://" not in name else []
    paths += [value for values in parse_qs(query).values() for value in values]
    paths += [unquote(urlsplit(before).path if "://" in name else before)]
    paths = [path.removeprefix("./").lstrip("/") for path in paths]
    paths += [
        f"{folder}{slash}{_UPLOADED.sub('', file, 1)}" for folder, slash, file in (p.rpartition("/") for p in paths)
    ]
    return list(dict.fromkeys(path for path in paths if path))


def file_name(name: str) -> str:
    """The name of the file that an address or path most probably means."""
    names = [PurePosixPath(path).name for path in plain_paths(name)]
    suffixes = (*FILM_SUFFIXES, *STILL_SUFFIXES)
    return next((one for one in names if one.lower().endswith(suffixes) and "?" not in one), names[-1] if names else "")


class NamedFilms:
    """Films and stills that were found."""

    def __init__(self, sources: Sequence[FilmSource]) -> None:
        self.sources = sources
        self._probed: dict[str, Film | None] = {}
        self._by_name: dict[str, list[FilmSource]] = {}
        for source in sources:
            parts = PurePosixPath(source.media.casefold()).parts
            tails = {"/".join(parts[start:]) for start in range(len(parts))}
            for name in {*tails, PurePosixPath(parts[-1]).stem}:
                self._by_name.setdefault(name, []).append(source)

    def find(self, names: Sequence[str]) -> FilmSource | str:
        """The film that has one of these names, the longest path first, or why there is none."""
        if not names:
            return (
                self.sources[0] if len(self.sources) == 1 else "it does not name its film; give --films with that film"
            )
        for name in names:
            for tail in _tails(name):
                if found := self._by_name.get(tail.casefold()):
                    listed = first_few([source.media for source in found], FEW)
                    return found[0] if len(found) == 1 else f"{name} is the name of several films: {listed}"
        return f"there is no film {names[0]} in the films folder"

    def film(self, source: FilmSource) -> Film | None:
        """The film of a file; None if it cannot be read."""
        if source.media not in self._probed:
            self._probed[source.media] = probed_film(source)
        return self._probed[source.media]

    def facts(self, source: FilmSource) -> FilmFacts:
        """The facts about a film."""
        film = self.film(source)
        return facts_of(film, source) if film else source.facts

    def of_timeline(self, path: Path) -> dict[str, TimelineFilm]:
        """The films that a timeline may be of, by `media`: those whose file names it has or, if it has none, all."""
        text = unquote(path.read_bytes().decode(errors="replace")).casefold()
        films = [source for source in self.sources if not source.is_still]
        named = [source for source in films if source.path.name.casefold() in text]
        named = named or [source for source in films if source.path.stem.casefold() in text] or films
        probed = [(source, film) for source in named if (film := self.film(source))]
        return {
            source.media: TimelineFilm(facts_in_timeline(film, source), partial(frame_from_timeline, film))
            for source, film in probed
        }


def _tails(name: str) -> Iterator[str]:
    """The ends of a name's paths, longest first, then its file names without suffix."""
    paths = [PurePosixPath(path) for path in plain_paths(name)]
    for path in paths:
        yield from ("/".join(path.parts[start:]) for start in range(len(path.parts)))
    yield from (path.stem for path in paths)


def frames_of_span(span: Span, film: Film, media: str) -> tuple[int, int | None] | Flaw:
    """The half-open range of frames of a span, with None as its end for a moment, or why it has none."""
    times: dict[TimeRole, tuple[TableTime, ...]] = {}
    ends = span.frames or span.seconds or ()
    for role, name, end in zip((TimeRole.START, TimeRole.END), ("start", "end"), ends, strict=True):
        if end is None:
            continue
        text = str(end) if span.frames else f"{float(end):.3f}"
        whole = int(end) if span.frames else None
        times[role] = (TableTime(name, text, seconds=None if span.frames else float(end), frame=whole),)
    request = frame_request_of(AnnotatedRange(0, "", media, times, {}, "", ""), film, CutSettings())
    return request if isinstance(request, Flaw) else (request.first, request.last)
