"""What the times of an annotation table are in one film: timecode and frame numbers become seconds.

Owns the frames of the film as a `Clock` of `annotations/row_times.py`. Seconds count from the start of the container,
frames and timecode from the first frame, which has number 0. Timecode is 00:00:00:00 at the first frame or, where that
leads out of the film, the film's own timecode.
"""

from __future__ import annotations

from data_pipeline.annotations.row_times import ROUNDING
from data_pipeline.annotations.time_notation import BadTime, TableTime, Unit, parse_time, timecode_frame
from data_pipeline.films.film_probe import Film


class FilmClock:
    """The clock of a film."""

    def __init__(self, film: Film) -> None:
        self.frame_seconds = float(1 / film.rate)
        self._film = film

    def seconds(self, time: TableTime) -> float:
        """Seconds from the start of the container; raises `BadTime` if no frame of the film has this timecode."""
        if time.seconds is not None:
            return time.seconds
        number = self._frames(time)
        if time.timecode is None:
            return self._time_of(number)
        number -= self._own_start(time, number)
        found = self._time_of(number)
        if abs(found - self._time_of(0) - number * self.frame_seconds) > self.frame_seconds + ROUNDING:
            detail = f"{time.text} is a timecode, but the film has no constant frame rate"
            raise BadTime(time.column, f"{detail}; write seconds (83.5) or H:MM:SS.mmm (0:01:23.500)")
        return found

    def end(self, start: float, duration: TableTime) -> float:
        """The end of a shot of this duration; raises `BadTime`."""
        if duration.seconds is not None:
            return start + duration.seconds
        return self._time_of(self._film.first_frame_from(start) + self._frames(duration))

    def _frames(self, time: TableTime) -> int:
        return timecode_frame(time, self._film.rate) if time.frame is None else time.frame

    def _own_start(self, time: TableTime, number: int) -> int:
        """The frame number of the film's own timecode at its first frame, if a timecode counts from it, else 0.

        Raises:
            BadTime: the timecode is inside the film with and without it.
        """
        own = _timecode_of(self._film)
        first = timecode_frame(own, self._film.rate) if own else 0
        if own is None or not 0 <= number - first <= self._film.frames:
            return 0
        if number <= self._film.frames:
            detail = f"{time.text} is {self._time_of(number):.3f} s counted from the first frame, but"
            by_own = f"{self._time_of(number - first):.3f} s by the film's own timecode, which begins at {own.text}"
            raise BadTime(time.column, f"{detail} {by_own}; write seconds")
        return first

    def _time_of(self, number: int) -> float:
        """Time of a frame; beyond the end of the film, as if it continued."""
        beyond = max(number - self._film.frames, 0)
        return self._film.time_of(number - beyond) + beyond * self.frame_seconds


def _timecode_of(film: Film) -> TableTime | None:
    """The timecode of the first frame, or None if the film has none that is valid."""
    try:
        own = parse_time("timecode", Unit.TIMECODE, film.start_timecode)
        return own if own.timecode and timecode_frame(own, film.rate) else None
    except BadTime:
        return None
