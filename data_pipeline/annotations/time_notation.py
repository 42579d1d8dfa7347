"""Notations of time in annotation tables: seconds, H:MM:SS.mmm, SMPTE timecode, frame numbers, milliseconds.

Owns parsing one cell and counting the frames of a timecode. Which form of a time counts is decided in `row_times.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from data_pipeline.annotations.plain_text import half_width

_SECONDS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(?:s|secs?|seconds?)?", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_WHOLE = re.compile(r"(\d+)(?:\.0*)?")  # pandas writes whole numbers as 47.0 if cells of the column are empty
_CLOCK = re.compile(r"(?:(\d+):(?=[0-5]?\d:))?(\d+):([0-5]?\d(?:\.\d*)?)")  # H:MM:SS.mmm or MM:SS.mmm
_HUNDREDTHS = re.compile(r"\d+:\d+:\d+\.\d\d")
_TIMECODE = re.compile(r"(\d+)([:;])([0-5]?\d)\2([0-5]?\d)([:;])(\d{1,3})")
FORMS = "write seconds (83.5), H:MM:SS.mmm (0:01:23.500) or HH:MM:SS:FF (00:01:23:12)"


class BadTime(ValueError):
    """A time that cannot be used; the message names the column, the value and what to write instead."""

    def __init__(self, column: str, detail: str) -> None:
        super().__init__(f"column {column}: {detail}")
        self.column, self.detail = column, detail


class Unit(StrEnum):
    """What the name of a column reveals about its numbers."""

    ANY = "seconds, H:MM:SS.mmm or timecode"
    MILLISECONDS = "milliseconds"
    FRAMES = "frame numbers"
    TIMECODE = "timecode"


@dataclass(frozen=True, slots=True)
class TableTime:
    """One time or duration as written in a table; exactly one of `seconds`, `frame` and `timecode` is set.

    `timecode` is hours, minutes, seconds and frames. It and `frame` become seconds by the frames of the film.
    """

    column: str  # as its header is written
    text: str
    seconds: float | None = None
    frame: int | None = None
    timecode: tuple[int, int, int, int] | None = None
    drop_frame: bool = False


def parse_time(column: str, unit: Unit, text: str) -> TableTime:
    """Parse a cell that is not empty, with decimal point or decimal comma.

    Raises:
        BadTime: no time, or not in the unit of the column.
    """
    plain = half_width(text).replace(",", ".")
    if unit is Unit.FRAMES:
        if whole := _WHOLE.fullmatch(plain):
            return TableTime(column, text, frame=int(whole[1]))
        raise BadTime(column, f"{text!r} is no frame number; write a whole number from 0, the first frame, up (1200)")
    if unit is Unit.MILLISECONDS and _NUMBER.fullmatch(plain):
        return TableTime(column, text, seconds=float(plain) / 1000)
    if unit is Unit.TIMECODE and _NUMBER.fullmatch(plain):
        raise BadTime(column, f"{text!r} is no timecode; write HH:MM:SS:FF (00:01:23:12) or H:MM:SS.mmm (0:01:23.500)")
    if seconds := _SECONDS.fullmatch(plain):
        return TableTime(column, text, seconds=float(seconds[1]))
    if unit is Unit.TIMECODE and _HUNDREDTHS.fullmatch(plain):
        detail = f"{text!r} ends in frames or in hundredths of a second"
        raise BadTime(column, f"{detail}; write HH:MM:SS:FF (00:01:23:12) or H:MM:SS.mmm (0:01:23.500)")
    if clock := _CLOCK.fullmatch(plain):
        hours, minutes, rest = clock.groups()
        return TableTime(column, text, seconds=int(hours or 0) * 3600 + int(minutes) * 60 + float(rest))
    if code := _TIMECODE.fullmatch(plain):
        numbers = int(code[1]), int(code[3]), int(code[4]), int(code[6])
        return TableTime(column, text, timecode=numbers, drop_frame=code[5] == ";")
    raise BadTime(column, f"{text!r} is no time; {FORMS}")


def looks_like_time(text: str) -> bool:
    """Whether a text can only be a time or a range of times: H:MM:SS, MM:SS with two digits of seconds, or timecode."""
    times = re.split(r"\s*(?:-->|->|[-–—~]|\bto\b)\s*", half_width(text).strip().replace(",", "."))
    return all(
        _TIMECODE.fullmatch(time) or (_CLOCK.fullmatch(time) and re.search(r":\d\d(\.\d*)?$", time)) for time in times
    )


def timecode_frame(time: TableTime, rate: Fraction) -> int:
    """Number of the frame that a timecode names, counted from 00:00:00:00, at a rate in frames per second.

    Drop-frame timecode skips two labels (four at 59.94) at the beginning of every minute, except every tenth.

    Raises:
        BadTime: no frame of a film of this rate has this timecode.
    """
    hours, minutes, seconds, frames = time.timecode or (0, 0, 0, 0)
    nominal = round(rate)
    if frames >= nominal:
        detail = f"{time.text} has frame {frames:02}, but a second of this film ({float(rate):.6g} fps) has {nominal}"
        raise BadTime(time.column, f"{detail}; write frames from 00 to {nominal - 1:02}")
    count = ((hours * 60 + minutes) * 60 + seconds) * nominal + frames
    if not time.drop_frame:
        return count
    if nominal % 30 or abs(rate - nominal) < abs(rate - Fraction(nominal * 1000, 1001)):
        detail = f"{time.text} is drop-frame timecode, which only 29.97 and 59.94 fps have; this film has"
        raise BadTime(time.column, f"{detail} {float(rate):.6g} fps: write a colon before the frames")
    skipped = nominal // 15
    if minutes % 10 and not seconds and frames < skipped:
        detail = f"{time.text} does not exist in drop-frame timecode; the first frame of that minute is"
        raise BadTime(time.column, f"{detail} {hours:02}:{minutes:02}:00;{skipped:02}")
    every_minute = hours * 60 + minutes
    return count - skipped * (every_minute - every_minute // 10)
