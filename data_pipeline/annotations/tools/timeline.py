"""Timelines (.otio, EDL, FCPXML, Final Cut 7 XML): clips are shots, the texts of their markers and comments labels.

The ranges are those of `labelling/exports/timeline_shots.py`, which knows the films. Without films, a clip's range is
counted from the first frame of its media where the timeline states that, and is the film's own timecode elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from data_pipeline.annotations.aliases import find_dimension
from data_pipeline.annotations.tools.tool_annotation import (
    SHOT,
    BadAnnotations,
    Span,
    ToolAnnotation,
    ToolFile,
    moment_of,
)
from lmms_eval_shotbench.labelling.exports.film_timeline import UNLABELLED, marker_text
from lmms_eval_shotbench.labelling.exports.timeline_cuts import TimelineCut, timeline_cuts
from lmms_eval_shotbench.labelling.exports.timeline_files import load_timeline
from lmms_eval_shotbench.labelling.exports.timeline_shots import read_shot_ranges
from lmms_eval_shotbench.labelling.shot import FilmFacts
from lmms_eval_shotbench.labelling.timecode import frame_timecode, timecode_rate
from lmms_eval_shotbench.vocabulary import Dimension, UnknownTerm

MARKER = "marker"  # name of the annotations that are texts of markers and comments
# What EDLs say about the clip itself.
_NO_LABEL = re.compile(
    r"(SOURCE FILE|FROM CLIP|TO CLIP|FROM FILE|CLIP NAME|ASC_SOP|ASC_SAT|FINAL CUT PRO|M2|KEY CLIP)\b", re.I
)
_OWN_COMMENT = re.compile(r"(?:COMMENT: )?shot \d{4,}(?:: |$)")  # before the labels in our EDLs
_LOCATOR = re.compile(r"LOC: \S+ +[A-Z]+ +")


class TimelineFilm(NamedTuple):
    """A film as an editing system takes it, and the number of its own frame that begins at a frame of a timeline."""

    facts: FilmFacts
    own_frame: Callable[[int], int]


def read_timeline(path: Path, films: Mapping[str, TimelineFilm] | None, rate: Fraction | None) -> ToolFile:
    """Read the clips of the first video track.

    Args:
        path: The file.
        films: The films that it may be of, by `media`; None if none are known.
        rate: Frames per second of an EDL, if there are no films.

    Raises:
        BadTimeline: the timeline cannot be used.
        BadAnnotations: an EDL, and neither films nor a rate.
    """
    remarks: list[str] = []
    found: list[ToolAnnotation] = []
    if films is not None:
        media = {film.facts.film_id: name for name, film in films.items()}
        shots = read_shot_ranges(path, [film.facts for film in films.values()])
        for number, shot in enumerate(shots.shots, start=1):
            name = media[shot.film_id]
            first, end = (films[name].own_frame(frame) for frame in (shot.first_frame, shot.end_frame))
            found += _annotations(shot.name, number, Span(frames=(first, end)), (name,), shot.texts)
        return ToolFile(found, (), shots.remarks)
    if rate is None and path.suffix.lower() == ".edl":
        raise BadAnnotations("an EDL does not state its frame rate; give --films FOLDER, or --fps")
    cuts = timeline_cuts(path, load_timeline(path, rate or Fraction(1)), remarks)
    for number, cut in enumerate(cuts, start=1):
        if cut.is_retimed:
            remarks.append(f"clip {cut.name} plays its media at another speed; its frames are taken as they are")
        names = (cut.file, *cut.media) if cut.file else cut.media
        found += _annotations(cut.name, number, _span_without_film(cut, rate), names, cut.texts)
    return ToolFile(found, (), remarks)


def _span_without_film(cut: TimelineCut, rate: Fraction | None) -> Span:
    """The range of a clip; an EDL of a film of 12 frames a second counts 24 of timecode."""
    counted = int(timecode_rate(rate) / rate) if rate and cut.rate == timecode_rate(rate) else 1
    film_rate = cut.rate / counted
    first, end = (frame // counted for frame in cut.source)
    if cut.media_start is None:
        return Span(timecode=(frame_timecode(first, film_rate), frame_timecode(end, film_rate)))
    first, end = (frame - cut.media_start // counted for frame in (first, end))
    return Span((moment_of(first, film_rate), moment_of(end, film_rate)), (first, end))


def _annotations(
    name: str, number: int, span: Span, media: tuple[str, ...], texts: Sequence[str]
) -> Iterator[ToolAnnotation]:
    where = f"clip {number}{f' ({name})' if name else ''}"
    yield ToolAnnotation(SHOT, "", span, media, where, is_shot=True)
    plain = [_LOCATOR.sub("", _OWN_COMMENT.sub("", text)).removeprefix("COMMENT: ").strip() for text in texts]
    plain = [text for text in dict.fromkeys(plain) if text and text != UNLABELLED and not _NO_LABEL.match(text)]
    named = {text: labels for text in plain if (labels := _named_labels(text))}
    for labels in named.values():
        for dimension, label in labels.items():
            yield ToolAnnotation(dimension.release_label, label, span, media, where)
    summaries = {_plain(marker_text(_canonical(labels))) for labels in named.values()}
    for text in plain:
        if text not in named and _plain(text) not in summaries:
            yield ToolAnnotation(MARKER, text, span, media, where)


def _named_labels(text: str) -> dict[Dimension, str]:
    """The labels of a text such as "shot size: Close Up; camera angle: Low angle"; none if it is another text."""
    labels: dict[Dimension, str] = {}
    for part in text.split(";"):
        name, _, label = part.partition(":")
        dimension = find_dimension(name) if name.strip() else None
        if dimension is None or not label.strip():
            return {}
        labels[dimension] = label.strip()
    return labels


def _canonical(labels: Mapping[Dimension, str]) -> dict[Dimension, str]:
    """The labels that name terms."""
    found = {}
    for dimension, text in labels.items():
        try:
            found[dimension] = str(dimension.parse(text))
        except UnknownTerm:
            continue
    return found


def _plain(text: str) -> str:
    """A marker's text in the form of every format: EDLs have ASCII only."""
    return text.replace(" · ", ", ").casefold()
