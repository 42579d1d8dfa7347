"""A timeline as an EDL of the form CMX 3600: one event a shot.

The reel is AX, an auxiliary source, so that importers find the film by the name of its file instead of by a reel of
eight characters. Source and record timecode are the film's own.
"""

from __future__ import annotations

from lmms_eval_shotbench.labelling.film_timeline import FilmTimeline, TimelineClip

TITLE_LENGTH = 70  # characters


def edl(timeline: FilmTimeline) -> str:
    """The timeline as the text of an .edl file."""
    head = [
        f"TITLE: {_line(timeline.film.film_id)[:TITLE_LENGTH]}",
        f"FCM: {'DROP FRAME' if timeline.drop_frame else 'NON-DROP FRAME'}",
    ]
    events = [_event(number, clip, timeline) for number, clip in enumerate(timeline.clips, start=1)]
    notes = [f"* COMMENT: {_line(note)}" for note in timeline.notes]  # after an event: readers refuse them before
    return "\n".join([*head, "", events[0], *notes, *events[1:]]) + "\n"


def _event(number: int, clip: TimelineClip, timeline: FilmTimeline) -> str:
    length = clip.end - clip.first
    times = (clip.first, clip.end, clip.position, clip.position + length)
    position = timeline.timecode(clip.position)
    marker = clip.marker.replace(" · ", ", ").encode("ascii", "replace").decode()
    lines = [
        f"{number:03}  AX       V     C        {' '.join(map(timeline.timecode, times))}",
        f"* FROM CLIP NAME: {_line(timeline.media.name)}",
        f"* SOURCE FILE: {_line(str(timeline.media))}",
        f"* COMMENT: {clip.name}{': ' if clip.all_labels else ''}{clip.all_labels}",
        f"* LOC: {position} GREEN   {marker}",
    ]
    return "\n".join(lines)


def _line(text: str) -> str:
    """The text on one line, without characters that no file can be encoded with."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
