"""Timeline files of editing systems as OpenTimelineIO timelines.

.otio, EDL and Final Cut 7 XML are parsed by OpenTimelineIO and its adapters. FCPXML is parsed here: the adapter
fcpx_xml counts 23 frames a second at 23.976 and rounds times down.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from lmms_eval_shotbench.labelling.exports.safe_xml import parse_xml
from lmms_eval_shotbench.labelling.exports.timeline_otio import opentimelineio
from lmms_eval_shotbench.labelling.timecode import has_drop_frame, timecode_rate

SUFFIXES = (".otio", ".edl", ".fcpxml", ".xml")
Element = ElementTree.Element
_FRAMES = re.compile(r"(\d\d:\d\d:\d\d):(\d\d)")
_LOCATOR = re.compile(r"(\d\d:\d\d:\d\d);(\d\d)")


class BadTimeline(ValueError):
    """A timeline file gives no shot ranges; the message says where, why and what to do."""


def load_timeline(path: Path, rate: Fraction) -> Any:
    """Parse a file as an `opentimelineio.schema.Timeline`; the first one, if it holds several.

    Args:
        path: the file; its suffix decides how it is parsed.
        rate: frames per second of the films, at which an EDL counts; it does not state its own.

    Raises:
        BadTimeline: unknown suffix, no such file, or it cannot be parsed.
    """
    otio = opentimelineio()
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadTimeline(f"{path}: timelines are read from {', '.join(SUFFIXES)}; export one of these")
    try:
        text = _decoded(path.read_bytes())
        if suffix == ".otio":
            found = otio.adapters.read_from_string(text, "otio_json")
        elif suffix == ".edl":
            rate = timecode_rate(rate)
            found = otio.adapters.read_from_string(_plain_edl(text, rate), "cmx_3600", rate=float(rate))
        elif "<fcpxml" in text:
            found = _fcpxml_timeline(parse_xml(text), otio)
        else:
            parse_xml(text)  # refuses what would harm the adapter
            found = otio.adapters.read_from_string(text, "fcp_xml")
    except OSError as error:
        raise BadTimeline(f"{path} cannot be opened: {error.strerror}") from None
    # The adapters let through whatever goes wrong inside them, such as AttributeError for a missing element.
    except Exception as error:
        raise BadTimeline(f"{path} cannot be parsed: {error}; export it again, or as .otio") from error
    if isinstance(found, otio.schema.Timeline):
        return found
    children = found.find_children(descended_from_type=otio.schema.Timeline) if hasattr(found, "find_children") else []
    if not children:
        raise BadTimeline(f"{path} holds no timeline, but a {type(found).__name__}; export the timeline itself")
    return children[0]


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")  # EDLs of older systems


def _plain_edl(text: str, rate: Fraction) -> str:
    """An EDL as the adapter expects it.

    It refuses comments before the first event, ignores the line `FCM: DROP FRAME`, after which timecodes are drop frame
    even with a colon before the frames, and reads no locator with a semicolon there.
    """
    lines: list[str] = []
    drop_frame = begun = False
    for line in text.splitlines():
        if line.startswith("FCM"):
            drop_frame = "NON" not in line.upper() and has_drop_frame(rate)
        if line[:1].isdigit():
            begun = True
            line = _FRAMES.sub(r"\1;\2", line) if drop_frame else line
        elif line.startswith("* LOC:"):
            line = _LOCATOR.sub(r"\1:\2", line)
        if begun or line.startswith(("TITLE:", "FCM", "SPLIT")):
            lines.append(line)
    return "\n".join(lines)


def _fcpxml_timeline(root: Element, otio: Any) -> Any:
    """The first project's primary storyline, as a timeline of one track."""
    sequence = next(root.iter("sequence"), None)
    spine = None if sequence is None else sequence.find("spine")
    if sequence is None or spine is None:
        raise ValueError("it has no sequence with a spine")
    formats = {one.get("id"): one for one in root.iter("format")}
    rate = 1 / _seconds(formats[sequence.get("format")].get("frameDuration"))
    assets = {one.get("id"): one for one in root.iter("asset")}

    def time_range(element: Element) -> Any:
        start, duration = (_seconds(element.get(name)) * rate for name in ("start", "duration"))
        time = otio.opentime.RationalTime
        return otio.opentime.TimeRange(time(round(start), float(rate)), time(round(duration), float(rate)))

    def frame(element: Element) -> int:
        return round(_seconds(element.get("offset")) * rate)

    start = round(_seconds(sequence.get("tcStart")) * rate)
    track = otio.schema.Track(kind=otio.schema.TrackKind.Video)
    position = start
    transition = None
    for element in spine:
        if element.tag == "transition":
            transition = element
            continue
        if element.get("offset") is None and element.get("duration") is None:
            continue  # notes and other elements that are no clips
        offset = frame(element) if element.get("offset") else position
        if offset > position:
            track.append(otio.schema.Gap(duration=otio.opentime.RationalTime(offset - position, float(rate))))
        if transition is not None:
            length = time_range(transition).duration.value
            before = max(offset - frame(transition), 0)
            offsets = (otio.opentime.RationalTime(value, float(rate)) for value in (before, max(length - before, 0)))
            track.append(otio.schema.Transition("", "SMPTE_Dissolve", *offsets))
            transition = None
        length = time_range(element)
        track.append(_fcpxml_item(element, length, assets, time_range, otio))
        position = offset + int(length.duration.value)
    timeline = otio.schema.Timeline(next((one.get("name", "") for one in root.iter("project")), ""))
    timeline.global_start_time = otio.opentime.RationalTime(start, float(rate))
    timeline.tracks.append(track)
    return timeline


def _fcpxml_item(element: Element, shown: Any, assets: dict[str | None, Element], time_range: Any, otio: Any) -> Any:
    """A clip, with its film if it names one, or a gap."""
    if element.tag == "gap":
        return otio.schema.Gap(source_range=shown)
    inner = element.find("video")
    asset = assets.get(element.get("ref") or (inner.get("ref") if inner is not None else None))
    clip = otio.schema.Clip(element.get("name", ""), source_range=shown)
    if asset is not None:
        representation = asset.find("media-rep")
        source = asset.get("src") or (representation.get("src") if representation is not None else "")
        clip.media_reference = otio.schema.ExternalReference(source, time_range(asset))
        if element.get("start") is None:  # the clip starts where the film does
            start = clip.media_reference.available_range.start_time
            clip.source_range = otio.opentime.TimeRange(start, shown.duration)
    if element.find("timeMap") is not None:
        clip.effects.append(otio.schema.LinearTimeWarp())
    for marker in element.iter():
        if marker.tag in ("marker", "chapter-marker", "keyword"):
            clip.markers.append(otio.schema.Marker(marker.get("value", ""), time_range(marker)))
            clip.markers[-1].comment = marker.get("note", "")
    return clip


def _seconds(text: str | None) -> Fraction:
    """A time such as "1001/24000s" or "5s"; 0 if there is none."""
    return Fraction((text or "0s").removesuffix("s"))
