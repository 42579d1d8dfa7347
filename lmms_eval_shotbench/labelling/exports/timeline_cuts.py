"""The clips of a timeline: what each shows of which media, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse

from lmms_eval_shotbench.labelling.exports.timeline_files import BadTimeline
from lmms_eval_shotbench.labelling.exports.timeline_otio import opentimelineio
from lmms_eval_shotbench.labelling.timecode import editing_rate

SOURCE_FILE = "SOURCE FILE:"  # comment of an EDL


@dataclass
class TimelineCut:
    """A clip of a track. Ranges are in frames of the timeline's rate, half-open."""

    name: str
    media: tuple[str, ...]  # names of its file, most certain first
    file: str  # POSIX path of that file on the machine of the timeline; "" if it has none
    rate: Fraction
    source: tuple[int, int]
    position: tuple[int, int]
    media_start: int | None  # timecode of the media's first frame, if the timeline has it
    is_retimed: bool

    def start_later(self, frames: int) -> None:
        """Move its first frame."""
        self.source, self.position = ((first + frames, end) for first, end in (self.source, self.position))

    def end_later(self, frames: int) -> None:
        """Move its end."""
        self.source, self.position = ((first, end + frames) for first, end in (self.source, self.position))


def timeline_cuts(path: Path, timeline: Any, remarks: list[str]) -> list[TimelineCut]:
    """The clips of the first video track that has any, with transitions cut at their middle.

    Args:
        path: the file, for messages.
        timeline: an `opentimelineio.schema.Timeline`.
        remarks: what was decided is added to them, as sentences.

    Raises:
        BadTimeline: no video track has clips.
    """
    track = _first_track(path, timeline, remarks)
    schema = opentimelineio().schema
    rate = _exact(track.duration().rate)
    # Frames trimmed from the start; of an EDL's track minus the record timecode of its first event.
    position = -_frames(track.source_range.start_time, rate) if track.source_range else 0
    cuts: list[TimelineCut] = []
    before: TimelineCut | None = None  # the clip directly before
    shift = 0  # from the edit to the middle of its transition
    transitions = 0
    for child in track:
        if isinstance(child, schema.Transition):
            shift = (_frames(child.out_offset, rate) - _frames(child.in_offset, rate)) // 2
            transitions += 1
            if before:
                before.end_later(shift)
            continue
        length = _frames(child.duration(), rate)
        before = None
        if isinstance(child, schema.Clip) and not isinstance(child.media_reference, schema.GeneratorReference):
            before = _cut(child, rate, position, length)
            before.start_later(shift)
            cuts.append(before)
        position += length
        shift = 0
    if transitions:
        remarks.append(f"Transitions that are cut at their middle: {transitions}")
    return [cut for cut in cuts if cut.position[0] < cut.position[1]]


def _first_track(path: Path, timeline: Any, remarks: list[str]) -> Any:
    clip = opentimelineio().schema.Clip
    tracks = [track for track in timeline.video_tracks() if any(isinstance(child, clip) for child in track)]
    if not tracks:
        raise BadTimeline(f"{path} has no video clips; export a timeline that has been cut into shots")
    if len(tracks) > 1:
        remarks.append(f"{path.name} has {len(tracks)} video tracks with clips; only the first is read")
    return tracks[0]


def _cut(clip: Any, rate: Fraction, position: int, length: int) -> TimelineCut:
    first = _frames(clip.trimmed_range().start_time, rate)
    media = clip.media_reference
    url = getattr(media, "target_url", None)
    file = (unquote(urlparse(url).path) if url else _source_file(clip)).replace("\\", "/")
    names = tuple(name for name in (PurePosixPath(file).name, media.name, clip.name) if name)
    start = _frames(media.available_range.start_time, rate) if media.available_range else None
    retimed = any(
        isinstance(effect, opentimelineio().schema.TimeEffect) or effect.name == "Time Remap" for effect in clip.effects
    )
    source, shown = (first, first + length), (position, position + length)
    return TimelineCut(clip.name, names, file, rate, source, shown, start, retimed)


def _source_file(clip: Any) -> str:
    """The file that a comment of an EDL names."""
    comments = map(str, clip.metadata.get("cmx_3600", {}).get("comments", []))
    return next((one.removeprefix(SOURCE_FILE).strip() for one in comments if one.startswith(SOURCE_FILE)), "")


def _frames(time: Any, rate: Fraction) -> int:
    return round(Fraction(time.value) * rate / _exact(time.rate))


def _exact(rate: float) -> Fraction:
    return editing_rate(Fraction(rate)) or Fraction(rate)
