"""The shots of one film as a timeline of an editing system, before it is written in any format.

Owns at which frame rate the timeline runs, where each shot stands, and the text of its marker. The timeline runs in the
film's own timecode: frame 0 of the film is its first frame, so a shot has the same timecode in the film and in the
timeline, and frames that belong to no shot are gaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lmms_eval_shotbench.labelling.label_cell import LabelCell, Status
from lmms_eval_shotbench.labelling.shot import FilmFacts, FilmShot, frame_rate_drift
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow
from lmms_eval_shotbench.labelling.timecode import (
    BadTimecode,
    editing_rate,
    frame_timecode,
    has_drop_frame,
    timecode_number,
    timeline_rate,
)
from lmms_eval_shotbench.vocabulary import CAMERA_ANGLE, CAMERA_MOVEMENT, DIMENSIONS, SHOT_SIZE, Dimension

MARKED = (SHOT_SIZE, CAMERA_ANGLE, CAMERA_MOVEMENT)
UNLABELLED = "no label"


@dataclass(frozen=True)
class TimelineClip:
    """A shot in the timeline. Frames count from 0: `first` to `end` - 1 of the film, at `position` in the timeline."""

    row: SheetRow
    first: int
    end: int
    position: int

    @property
    def name(self) -> str:
        """The name that editors show."""
        return f"shot {self.row.shot.number:04}"

    @property
    def marker(self) -> str:
        """The text of its marker."""
        return marker_text(dict(self._labels(MARKED)))

    @property
    def all_labels(self) -> str:
        """All labels in one line of text."""
        return "; ".join(f"{dimension.release_label}: {text}" for dimension, text in self._labels(DIMENSIONS))

    def _labels(self, dimensions: Sequence[Dimension]) -> Iterator[tuple[Dimension, str]]:
        for dimension in dimensions:
            cell = self.row.cells.get(dimension.slug, LabelCell(Status.NONE))
            if cell.table_label:
                yield dimension, cell.table_label


def marker_text(labels: Mapping[Dimension, str]) -> str:
    """Size, angle and movement, as far as they are labelled, such as "CU · Low angle · Push in"."""
    return " · ".join(_short(dimension, labels[dimension]) for dimension in MARKED if dimension in labels) or UNLABELLED


def _short(dimension: Dimension, text: str) -> str:
    """A label as on shot lists: abbreviated where the vocabulary has an abbreviation."""
    label = dimension.parse(text)
    short = {term: next((alias for alias in term.aliases if alias.isupper()), term.name) for term in label.terms}
    return ", then ".join(", ".join(short[term] for term in step) for step in label.steps)


@dataclass(frozen=True)
class FilmTimeline:
    """The timeline of a film: one video track of clips in time order, which do not overlap."""

    film: FilmFacts
    rate: Fraction  # exact
    frames: int  # of the film, at this rate
    start: int  # number of the film's first frame in its timecode, counted from 00:00:00:00
    drop_frame: bool
    clips: Sequence[TimelineClip]
    notes: Sequence[str]  # what is not exact, as sentences

    @property
    def media(self) -> Path:
        """The film's file."""
        return Path(self.film.path).absolute()

    @property
    def end(self) -> int:
        """Duration in frames, from the film's first frame to the end of the last clip."""
        last = self.clips[-1]
        return last.position + last.end - last.first

    @property
    def start_timecode(self) -> str:
        """The timecode of the first frame."""
        return frame_timecode(self.start, self.rate, drop_frame=self.drop_frame)


def timeline_text(text: str) -> str:
    """The text on one line, with "?" for characters that no encoding has or XML forbids."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def film_timeline(film: FilmFacts, rows: Sequence[SheetRow]) -> FilmTimeline | None:
    """Place the shots of a film; None for stills and films without shots, which have no timeline."""
    if film.frame_rate is None or not rows:
        return None
    rows = sorted(rows, key=lambda one: one.shot.first_frame)
    notes: list[str] = []
    film_rate = film.frame_rate
    exact = editing_rate(film_rate)
    varies = frame_rate_drift([one.shot for one in rows], film_rate) > 1 / (2 * film_rate)
    if exact and not varies:
        rate, frames = exact, film.frames
        ranges = [(one.shot.first_frame, one.shot.end_frame) for one in rows]
    else:
        rate = timeline_rate(film_rate)
        frames = round(film.frames / film_rate * rate)
        ranges = [_by_time(one.shot, film.start_seconds, rate) for one in rows]
        kind = "varies" if varies else f"is {float(film_rate):.6g} frames per second"
        notes.append(
            f"The frame rate of {film.media} {kind}: shots are placed by time at {float(rate):.6g} frames per second, "
            "which may be a frame off; convert the film to a constant standard rate for exact cuts"
        )
    start = _start(film, rate, notes)
    drop_frame = ";" in film.start_timecode and has_drop_frame(rate)
    return FilmTimeline(film, rate, frames, start, drop_frame, _placed(rows, ranges, notes), notes)


def _by_time(shot: FilmShot, offset: float, rate: Fraction) -> tuple[int, int]:
    """The frames of a shot at another rate than that of a film that begins at `offset` seconds; at least one."""
    start = max(round(((shot.start_seconds or 0.0) - offset) * rate), 0)
    return start, max(round(((shot.end_seconds or 0.0) - offset) * rate), start + 1)


def _start(film: FilmFacts, rate: Fraction, notes: list[str]) -> int:
    try:
        return timecode_number(film.start_timecode, rate) if film.start_timecode else 0
    except BadTimecode as error:
        notes.append(f"The start timecode of {film.media} is not used: {error}; timecode starts at 00:00:00:00")
        return 0


def _placed(rows: Sequence[SheetRow], ranges: Sequence[tuple[int, int]], notes: list[str]) -> list[TimelineClip]:
    """The clips at their own frames, or after the clip before if shots overlap, as a track cannot hold two at once."""
    clips: list[TimelineClip] = []
    overlapping = position = 0
    for row, (first, end) in zip(rows, ranges, strict=True):
        overlapping += first < position
        position = max(first, position)
        clips.append(TimelineClip(row, first, end, position))
        position += end - first
    if overlapping:
        notes.append(f"Shots placed after the shot before, because they overlap the shot before: {overlapping}")
    return clips
