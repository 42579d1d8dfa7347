"""What the times of an annotation table are in one film: timecode and frame numbers become seconds.

Owns the frames of the film as a `Clock` of `annotations/row_times.py`. The first frame has number 0.
"""

from __future__ import annotations

from data_pipeline.annotations.row_times import ROUNDING
from data_pipeline.annotations.time_notation import BadTime, TableTime, timecode_frame
from data_pipeline.films.film_probe import Film


class FilmClock:
    """The clock of a film."""

    def __init__(self, film: Film) -> None:
        self.frame_seconds = float(1 / film.rate)
        self._film = film

    def seconds(self, time: TableTime) -> float:
        """Seconds from the first frame; raises `BadTime` if no frame of the film has this timecode."""
        if time.seconds is not None:
            return time.seconds
        return self._time_of(self._frames(time))

    def end(self, start: float, duration: TableTime) -> float:
        """The end of a shot of this duration; raises `BadTime`."""
        if duration.seconds is not None:
            return start + duration.seconds
        return self._time_of(self._film.first_frame_from(start) + self._frames(duration))

    def _frames(self, time: TableTime) -> int:
        if time.frame is not None:
            return time.frame
        number = timecode_frame(time, self._film.rate)
        if abs(self._time_of(number) - number * self.frame_seconds) > self.frame_seconds + ROUNDING:
            detail = f"{time.text} is a timecode, but the film has no constant frame rate"
            raise BadTime(time.column, f"{detail}; write seconds (83.5) or H:MM:SS.mmm (0:01:23.500)")
        return number

    def _time_of(self, number: int) -> float:
        """Time of a frame; beyond the end of the film, as if it continued."""
        beyond = max(number - self._film.frames, 0)
        return self._film.time_of(number - beyond) + beyond * self.frame_seconds
