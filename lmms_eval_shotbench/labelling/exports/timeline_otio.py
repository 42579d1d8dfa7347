"""A timeline as an OpenTimelineIO file: the lossless form, with every cell of every shot in its metadata."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lmms_eval_shotbench.labelling.exports.film_timeline import FilmTimeline, TimelineClip

METADATA = "shotbench"  # key of our metadata
SCHEMA = 1  # of our metadata


class NoOpenTimelineIO(ImportError):
    """OpenTimelineIO or one of its adapters is not installed."""

    def __init__(self) -> None:
        super().__init__("timelines need OpenTimelineIO and its adapters: pip install 'lmms-eval-shotbench[data]'")


def opentimelineio() -> Any:
    """Return the package.

    Raises:
        NoOpenTimelineIO: it is not installed.
    """
    try:
        import opentimelineio
    except ImportError:
        raise NoOpenTimelineIO from None
    return opentimelineio


def otio_json(timeline: FilmTimeline) -> str:
    """The timeline as the text of an .otio file."""
    otio = opentimelineio()

    def frames(first: int, count: int) -> Any:
        rate = float(timeline.rate)
        time = otio.opentime.RationalTime
        return otio.opentime.TimeRange(time(first, rate), time(count, rate))

    def clip(one: TimelineClip) -> Any:
        first = timeline.start + one.first
        labels = {slug: cell.to_row() for slug, cell in one.row.cells.items()}
        made = otio.schema.Clip(
            one.name,
            otio.schema.ExternalReference(timeline.media.as_uri(), frames(timeline.start, timeline.frames)),
            frames(first, one.end - one.first),
            metadata={METADATA: {"schema": SCHEMA, "shot": asdict(one.row.shot), "labels": labels}},
        )
        made.media_reference.name = timeline.media.name
        made.markers.append(otio.schema.Marker(one.marker, frames(first, 1), otio.schema.MarkerColor.GREEN))
        made.markers[0].comment = one.all_labels
        return made

    track = otio.schema.Track("V1", kind=otio.schema.TrackKind.Video)
    position = 0
    for one in timeline.clips:
        if one.position > position:
            track.append(otio.schema.Gap(source_range=frames(0, one.position - position)))
        track.append(clip(one))
        position = one.position + one.end - one.first
    facts = {"schema": SCHEMA, "film": timeline.film.to_row(), "notes": list(timeline.notes)}
    made = otio.schema.Timeline(timeline.film.film_id, metadata={METADATA: facts})
    made.global_start_time = otio.opentime.RationalTime(timeline.start, float(timeline.rate))
    made.tracks.append(track)
    text: str = made.to_json_string(indent=1)
    return text + "\n"
