"""A timeline as an EDL of the form CMX 3600: one event a shot.

The reel is AX, an auxiliary source, so that importers find the film by the name of its file instead of by a reel of
eight characters. Source and record timecode are the film's own, at a frame rate that editing systems have.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lmms_eval_shotbench.labelling.exports.film_timeline import FilmTimeline, TimelineClip, timeline_text
from lmms_eval_shotbench.labelling.timecode import frame_timecode, timecode_rate

TITLE_LENGTH = 70  # characters


def edl(timeline: FilmTimeline) -> str:
    """The timeline as the text of an .edl file."""
    rate = timecode_rate(timeline.rate)
    counted = int(rate / timeline.rate)  # frames of timecode for each frame of the film
    notes = [*timeline.notes]
    if counted > 1:
        notes.append(f"Timecode counts {float(rate):.6g} frames per second, {counted} for each frame of the film")

    def timecode(frame: int) -> str:
        return frame_timecode((timeline.start + frame) * counted, rate, drop_frame=timeline.drop_frame)

    head = [
        f"TITLE: {timeline_text(timeline.film.film_id)[:TITLE_LENGTH]}",
        f"FCM: {'DROP FRAME' if timeline.drop_frame else 'NON-DROP FRAME'}",
    ]
    events = [_event(number, clip, timeline.media, timecode) for number, clip in enumerate(timeline.clips, start=1)]
    comments = [f"* COMMENT: {timeline_text(note)}" for note in notes]  # after an event: readers refuse them before
    return "\n".join([*head, "", events[0], *comments, *events[1:]]) + "\n"


def _event(number: int, clip: TimelineClip, media: Path, timecode: Callable[[int], str]) -> str:
    length = clip.end - clip.first
    times = (clip.first, clip.end, clip.position, clip.position + length)
    marker = clip.marker.replace(" · ", ", ").encode("ascii", "replace").decode()
    lines = [
        f"{number:03}  AX       V     C        {' '.join(map(timecode, times))}",
        f"* FROM CLIP NAME: {timeline_text(media.name)}",
        f"* SOURCE FILE: {timeline_text(str(media))}",
        f"* COMMENT: {clip.name}{': ' if clip.all_labels else ''}{clip.all_labels}",
        f"* LOC: {timecode(clip.position)} GREEN   {marker}",
    ]
    return "\n".join(lines)
