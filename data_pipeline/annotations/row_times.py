"""The times of a row: which columns give them, and what they are in seconds of the film.

Owns the rules for several forms of one time and for durations. A film is needed for frame numbers and timecode; it
comes in as a `Clock`, implemented in `films/film_clock.py`. Notations are in `time_notation.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from math import inf
from typing import NamedTuple, Protocol

from data_pipeline.annotations.time_notation import BadTime, TableTime, Unit

ROUNDING = 0.00051  # seconds; tables round times to milliseconds


class TimeRole(StrEnum):
    """What a column of times gives; the value is the column's plain name."""

    START = "start"
    END = "end"
    STILL = "still"
    DURATION = "duration"


MOMENTS = (TimeRole.START, TimeRole.END, TimeRole.STILL)


class TimeColumn(NamedTuple):
    """A column of times: its key in the cells of a row, its header as written, what it gives and in which unit."""

    key: str
    name: str
    role: TimeRole
    unit: Unit


class Moment(NamedTuple):
    """A time in seconds of the film, and the cell that gives it."""

    seconds: float
    cell: TableTime
    is_duration: bool = False  # the time is the start plus the cell

    def __str__(self) -> str:
        """The value as written, with its seconds where these are not what is written."""
        if self.is_duration:
            return f"the start plus {self.cell.text} ({self.seconds:.3f} s)"
        written = self.cell.text if self.cell.seconds is None or ":" in self.cell.text else ""
        return f"{written} ({self.seconds:.3f} s)" if written else f"{self.seconds:g} s"


class ShotTimes(NamedTuple):
    """The times of a row in seconds of the film; None where the row gives none."""

    start: Moment | None = None
    end: Moment | None = None
    still: Moment | None = None


class Clock(Protocol):
    """What seconds, frame numbers and timecodes are in one film."""

    frame_seconds: float  # duration of a frame

    def seconds(self, time: TableTime) -> float:
        """Seconds from the beginning of the film; raises `BadTime`."""

    def end(self, start: float, duration: TableTime) -> float:
        """The end, in seconds, of a shot of this duration; raises `BadTime`."""


class SecondsClock:
    """The clock of rows that give all their times in seconds; two forms of one time are not compared."""

    frame_seconds = inf

    def seconds(self, time: TableTime) -> float:
        """The seconds as written."""
        return time.seconds or 0.0

    def end(self, start: float, duration: TableTime) -> float:
        """The start plus the duration as written."""
        return start + (duration.seconds or 0.0)


TimesByRole = Mapping[TimeRole, tuple[TableTime, ...]]


def is_in_seconds(times: TimesByRole) -> bool:
    """Whether the times of a row are all given in seconds, so that no film is needed to compare them."""
    return all(time.seconds is not None for forms in times.values() for time in forms)


def shot_times(times: TimesByRole, clock: Clock) -> ShotTimes:
    """The times of a row in seconds. Of several forms of one time, seconds count first, then timecode, then frames.

    Raises:
        BadTime: a timecode that the film does not have, two forms that differ by more than a frame, an end before the
            start, or a still outside the range.
    """
    moments = {role: [Moment(clock.seconds(time), time) for time in times.get(role, ())] for role in MOMENTS}
    start = _agreed(moments[TimeRole.START], clock)
    if start:
        durations = [Moment(clock.end(start.seconds, time), time, True) for time in times.get(TimeRole.DURATION, ())]
        if empty := next((end for end in durations if end.seconds <= start.seconds), None):
            raise BadTime(empty.cell.column, f"{empty.cell.text} is no duration; write how long the shot lasts")
        moments[TimeRole.END] += durations
    end, still = _agreed(moments[TimeRole.END], clock), _agreed(moments[TimeRole.STILL], clock)
    if start and end and end.seconds <= start.seconds:
        advice = "exchange them, or call the column duration if it is how long the shot lasts"
        raise BadTime(end.cell.column, f"{end} is not after {start.cell.column}, {start}; {advice}")
    if still and not (start.seconds if start else 0.0) <= still.seconds <= (end.seconds if end else inf):
        raise BadTime(still.cell.column, f"{still} is not between start and end; give a time of the shot")
    return ShotTimes(start, end, still)


def _agreed(forms: list[Moment], clock: Clock) -> Moment | None:
    """The form that counts, or None if there is none; raises `BadTime` if another differs by more than a frame."""
    if not forms:
        return None
    forms = sorted(forms, key=lambda form: (form.cell.seconds is None, form.cell.timecode is None))
    for other in forms[1:]:
        if abs(other.seconds - forms[0].seconds) > clock.frame_seconds + ROUNDING:
            first = forms[0]
            detail = f"{other} and {first.cell.column}, {first}, differ by more than a frame"
            raise BadTime(
                other.cell.column,
                f"{detail}; correct one, leave it empty, or leave the column out with --ignore-columns",
            )
    return forms[0]
