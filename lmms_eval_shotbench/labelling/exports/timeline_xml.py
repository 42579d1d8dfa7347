"""A timeline as FCPXML 1.8 (Final Cut Pro) and as xmeml 4 (Final Cut Pro 7, Premiere).

FCPXML gives times in seconds, as fractions that are whole frames; a clip's own time and its marker's are the timecode
of the media. xmeml gives times in frames counted from the start of the media.
"""

from __future__ import annotations

from fractions import Fraction
from xml.etree import ElementTree

from lmms_eval_shotbench.labelling.exports.film_timeline import FilmTimeline, TimelineClip, timeline_text
from lmms_eval_shotbench.labelling.timecode import timecode_rate

Element = ElementTree.Element


def fcpxml(timeline: FilmTimeline) -> str:
    """The timeline as the text of an .fcpxml file."""

    def time(frames: int) -> str:
        seconds = frames / timeline.rate
        return f"{seconds}s" if seconds.denominator == 1 else f"{frames * timeline.rate.denominator}/{scale}s"

    scale = timeline.rate.numerator
    media_format = "r1" if timeline.rate == timecode_rate(timeline.rate) else "r3"
    form = {"tcFormat": "DF" if timeline.drop_frame else "NDF"}
    root = Element("fcpxml", version="1.8")
    resources = _child(root, "resources")
    size = {"width": str(timeline.film.width), "height": str(timeline.film.height)} if timeline.film.width else {}
    rate = timecode_rate(timeline.rate)  # of the sequence: a project of 12 frames per second cannot be imported
    _child(resources, "format", id="r1", frameDuration=f"{rate.denominator}/{rate.numerator}s", **size)
    if rate != timeline.rate:
        _child(resources, "format", id="r3", frameDuration=f"{timeline.rate.denominator}/{scale}s", **size)
    name, start = timeline_text(timeline.media.name), time(timeline.start)
    asset = {"src": timeline.media.as_uri(), "start": start, "duration": time(timeline.frames), "hasVideo": "1"}
    _child(resources, "asset", id="r2", name=name, **asset, format=media_format)
    project = _child(root, "project", name=timeline_text(timeline.film.film_id))
    sequence = _child(project, "sequence", format="r1", duration=time(timeline.end), tcStart=start, **form)
    spine = _child(sequence, "spine")
    position = 0
    for clip in timeline.clips:
        length = clip.end - clip.first
        if clip.position > position:
            gap = {"offset": time(timeline.start + position), "duration": time(clip.position - position)}
            _child(spine, "gap", name="Gap", **gap, start="0s")
        first = time(timeline.start + clip.first)
        times = {"offset": time(timeline.start + clip.position), "start": first, "duration": time(length)}
        made = _child(spine, "asset-clip", name=clip.name, ref="r2", **times, format=media_format, **form)
        _child(made, "marker", start=first, duration=time(1), value=clip.marker, note=clip.all_labels)
        position = clip.position + length
    return _xml_text(root, "fcpxml", timeline)


def xmeml(timeline: FilmTimeline) -> str:
    """The timeline as the text of a Final Cut Pro 7 .xml file."""
    root = Element("xmeml", version="4")
    sequence = _child(root, "sequence", id="sequence-1")
    _texts(sequence, name=timeline_text(timeline.film.film_id), duration=timeline.end)
    _add_rate(sequence, timeline.rate)
    _add_timecode(sequence, timeline)
    video = _child(_child(sequence, "media"), "video")
    _add_picture(_child(video, "format"), timeline)
    track = _child(video, "track")
    for number, clip in enumerate(timeline.clips, start=1):
        _add_item(track, number, clip, timeline)
    return _xml_text(root, "xmeml", timeline)


def _add_item(track: Element, number: int, clip: TimelineClip, timeline: FilmTimeline) -> None:
    item = _child(track, "clipitem", id=f"clipitem-{number}")
    _texts(item, name=clip.name, duration=timeline.frames)
    _add_rate(item, timeline.rate)
    _texts(item, start=clip.position, end=clip.position + clip.end - clip.first)
    for name, frame in (("in", clip.first), ("out", clip.end)):
        _child(item, name).text = str(frame)
    file = _child(item, "file", id="file-1")
    if number == 1:  # later items refer to it by its id
        _texts(file, name=timeline_text(timeline.media.name), pathurl=timeline.media.as_uri())
        _add_rate(file, timeline.rate)
        _texts(file, duration=timeline.frames)
        _add_timecode(file, timeline)
        _add_picture(_child(_child(file, "media"), "video"), timeline)
    marker = _child(item, "marker")
    _texts(marker, comment=clip.all_labels, name=clip.marker)
    for name, frame in (("in", clip.first), ("out", -1)):  # -1: a marker without duration
        _child(marker, name).text = str(frame)


def _add_rate(parent: Element, rate: Fraction) -> None:
    _texts(_child(parent, "rate"), timebase=round(rate), ntsc="TRUE" if rate.denominator == 1001 else "FALSE")


def _add_timecode(parent: Element, timeline: FilmTimeline) -> None:
    timecode = _child(parent, "timecode")
    _add_rate(timecode, timeline.rate)
    form = "DF" if timeline.drop_frame else "NDF"
    _texts(timecode, string=timeline.start_timecode, frame=timeline.start, displayformat=form)


def _add_picture(parent: Element, timeline: FilmTimeline) -> None:
    picture = _child(parent, "samplecharacteristics")
    _add_rate(picture, timeline.rate)
    if timeline.film.width:
        _texts(picture, width=timeline.film.width, height=timeline.film.height)


def _child(parent: Element, tag: str, **attributes: str) -> Element:
    return ElementTree.SubElement(parent, tag, attributes)


def _texts(parent: Element, **texts: object) -> None:
    """Add children that only have a text."""
    for tag, text in texts.items():
        _child(parent, tag).text = str(text)


def _xml_text(root: Element, doctype: str, timeline: FilmTimeline) -> str:
    ElementTree.indent(root, " ")
    notes = "".join(f"<!-- {timeline_text(note).replace('--', '- -')} -->\n" for note in timeline.notes)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE {doctype}>\n{notes}{body}\n'
