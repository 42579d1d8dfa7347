"""The shots of a film, with the key still and the clip that a model is shown: what labelling starts from.

Times are seconds from the start of the file, as players show them; frame numbers count from 0; ranges are half-open. A
still file is one shot without a clip and without times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from lmms_eval_shotbench.labelling.timecode import (
    BadTimecode,
    editing_rate,
    frame_timecode,
    has_drop_frame,
    timecode_number,
)

SAME_SHOT = 0.5  # minimum `overlap` of two ranges that are taken to be the same shot
Times = tuple[float, float]  # start and end in seconds


@dataclass(frozen=True, slots=True)
class FilmShot:
    """One shot. Paths of media are POSIX paths relative to the folder of the labels; empty if there is none."""

    shot_id: str  # unique in the folder, of [a-z0-9._-]
    film_id: str
    number: int  # within the film, from 1
    still: str = ""  # the key still, at the middle of the shot
    clip: str = ""
    first_frame: int = 0
    end_frame: int = 1
    start_seconds: float | None = None
    end_seconds: float | None = None
    remark: str = ""  # why it has no still or no clip, or what was noticed about it
    still_seconds: float | None = None  # when players show the key still

    @property
    def times(self) -> Times | None:
        """Start and end; None for a still file."""
        return (
            None if self.start_seconds is None or self.end_seconds is None else (self.start_seconds, self.end_seconds)
        )

    @property
    def seconds(self) -> float:
        """Duration; 0 for a still file."""
        return (self.end_seconds or 0.0) - (self.start_seconds or 0.0)


def overlap(one: Times, other: Times) -> float:
    """Intersection over union of two ranges, 0 to 1; 1 if both are the same moment."""
    common = min(one[1], other[1]) - max(one[0], other[0])
    union = max(one[1], other[1]) - min(one[0], other[0])
    return max(0.0, common) / union if union > 0 else 1.0


def frame_rate_drift(shots: Sequence[FilmShot], rate: Fraction) -> float:
    """Seconds by which frames of a film are shown earlier or later, against each other, than at a constant rate."""
    times = [(one.start_seconds, one.first_frame) for one in shots]
    times += [(one.end_seconds, one.end_frame) for one in shots]
    late = [seconds - frame / float(rate) for seconds, frame in times if seconds is not None]
    return max(late) - min(late) if late else 0.0


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """A film or still file that was labelled, or why it could not be."""

    film_id: str
    media: str  # POSIX path relative to the films folder, as in an annotation table
    path: str  # absolute, for timelines
    frame_rate: Fraction | None = None  # exact, such as 24000/1001; None for a still
    frames: int = 0
    width: int = 0  # as shown, in pixels
    height: int = 0
    start_timecode: str = ""  # of the first frame, where the file has one
    start_seconds: float = 0.0  # when players show the first frame
    defects: tuple[str, ...] = ()  # what was noticed; with no shots, why there are none
    content: str = ""  # digest that tells the file from others; "" in sheets that an earlier version wrote

    @property
    def timecode_start(self) -> int:
        """The number of the first frame in the file's own timecode, counted from 00:00:00:00; 0 if it has none."""
        rate = self.frame_rate and (editing_rate(self.frame_rate) or self.frame_rate)
        try:
            return timecode_number(self.start_timecode, rate) if rate and self.start_timecode else 0
        except BadTimecode:
            return 0

    def timecode(self, frame: int) -> str:
        """The timecode of a frame, counted from that of the file's first frame; empty for a still."""
        if self.frame_rate is None:
            return ""
        rate = editing_rate(self.frame_rate) or self.frame_rate
        drop_frame = ";" in self.start_timecode and has_drop_frame(rate)
        return frame_timecode(self.timecode_start + frame, rate, drop_frame=drop_frame)

    def to_row(self) -> dict[str, Any]:
        """The facts as JSON."""
        return asdict(self) | {"frame_rate": self.frame_rate and str(self.frame_rate), "defects": list(self.defects)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> FilmFacts:
        """Parse `to_row`."""
        rate = row["frame_rate"]
        return cls(**{**row, "frame_rate": Fraction(rate) if rate else None, "defects": tuple(row["defects"])})
