"""Keep the middle frame of a shot whose end is not known yet, in bounded memory.

While a shot grows, its middle moves forward by one frame for two, so frames before the middle of what is known are
dropped. A shot whose second half does not fit into `KEPT_BYTES` keeps its oldest candidates and leaves out new ones
until old ones are dropped; if its middle is among those left out, it is decoded again from the keyframe before. At
1080p, this concerns shots of more than 300 frames.
"""

from __future__ import annotations

from typing import Any

from data_pipeline.films.deinterlace import read_progressive_frames
from data_pipeline.films.film_probe import Film

KEPT_BYTES = 256_000_000  # of candidates


class MiddleFrames:
    """Candidates for the middle frame of one shot.

    Args:
        first: Frame number of the first frame of the shot.
        margin: Number of frames before the middle that may be asked for instead.
    """

    def __init__(self, film: Film, first: int, margin: int, kept_bytes: int = KEPT_BYTES) -> None:
        self._film, self._first, self._margin, self._free = film, first, margin, kept_bytes
        self._frames: dict[int, Any] = {}  # `av.VideoFrame`s, by number in ascending order

    def add_frame(self, number: int, frame: Any) -> None:
        """Take the next frame of the shot (`av.VideoFrame`)."""
        size = frame_bytes(frame)
        if size > self._free:
            film = self._film
            middle = film.frame_at((film.time_of(self._first) + film.time_of(number + 1)) / 2)
            for old in [kept for kept in self._frames if kept < middle - self._margin]:
                self._free += frame_bytes(self._frames.pop(old))
        if size <= self._free:
            self._free -= size
            self._frames[number] = frame

    def frame(self, number: int) -> Any:
        """The `av.VideoFrame` of this number; raises `BrokenFilm` if it was left out and cannot be decoded again."""
        if number not in self._frames:
            return next(read_progressive_frames(self._film, number, number + 1)).frame
        return self._frames[number]


def frame_bytes(frame: Any) -> int:
    """Size in memory of an `av.VideoFrame`, in bytes."""
    return sum(plane.buffer_size for plane in frame.planes)
