"""SMPTE timecode: labels HH:MM:SS:FF of frames, and frame rates as editing systems know them.

Timecode counts frames, not time: at 23.976 frames per second an hour of timecode lasts 3,603.6 s. Drop-frame timecode,
written with a semicolon before the frames, leaves out two labels (four at 59.94) at the start of every minute except
every tenth, so that an hour of timecode lasts an hour. Only 29.97 and its multiples have it.
Standard library only.
"""

from __future__ import annotations

import re
from fractions import Fraction

SMPTE_RATES = (
    *(Fraction(24_000, 1001), Fraction(24), Fraction(25), Fraction(30_000, 1001), Fraction(30)),
    *(Fraction(48_000, 1001), Fraction(48), Fraction(50), Fraction(60_000, 1001), Fraction(60)),
)
HOURS = 24  # after which timecode starts again
SAME_RATE = Fraction(1, 4000)  # relative difference: 23.98 is 23.976, from which 24 differs four times as much
_TIMECODE = re.compile(r"(\d{1,2}):([0-5]\d):([0-5]\d)([:;.,])(\d{2,3})")


class BadTimecode(ValueError):
    """A text is no timecode, or no frame has it at this frame rate; the message says why."""


def editing_rate(rate: Fraction) -> Fraction | None:
    """The exact frame rate meant by a measured or rounded one, such as 24000/1001 by 23.976.

    Returns:
        A whole number of frames per second, or one of 24, 30, 48, 60 and 120 divided by 1.001; None if none is near.
    """
    known = (Fraction(max(round(rate), 1)), *(Fraction(count * 1000, 1001) for count in (24, 30, 48, 60, 120)))
    nearest = min(known, key=lambda one: abs(one - rate))
    return nearest if abs(nearest - rate) <= rate * SAME_RATE else None


def timeline_rate(rate: Fraction) -> Fraction:
    """The exact frame rate of the timeline of a film: that which is meant or, if no rate is near, the nearest SMPTE."""
    return editing_rate(rate) or min(SMPTE_RATES, key=lambda one: abs(one - rate))


def timecode_rate(rate: Fraction) -> Fraction:
    """The frame rate at which editing systems count a film of an exact rate: the smallest multiple that they have.

    Films of 12 frames per second are counted at 24. A rate without such a multiple is returned unchanged.
    """
    return next((multiple for count in range(1, 9) if (multiple := rate * count) in SMPTE_RATES), rate)


def has_drop_frame(rate: Fraction) -> bool:
    """Whether there is drop-frame timecode at an exact frame rate."""
    return rate.denominator == 1001 and round(rate) % 30 == 0


def frame_timecode(frame: int, rate: Fraction, *, drop_frame: bool = False) -> str:
    """The timecode of a frame, counted from 00:00:00:00, at an exact frame rate."""
    nominal = round(rate)
    if drop_frame:
        dropped = nominal // 15  # labels a minute
        ten_minutes, rest = divmod(frame, nominal * 600 - 9 * dropped)
        later_minutes = max(rest - dropped, 0) // (nominal * 60 - dropped)
        frame += dropped * (9 * ten_minutes + later_minutes)
    seconds, frames = divmod(frame, nominal)
    hours, minutes = seconds // 3600 % HOURS, seconds // 60 % 60
    return f"{hours:02}:{minutes:02}:{seconds % 60:02}{';' if drop_frame else ':'}{frames:02}"


def timecode_number(text: str, rate: Fraction) -> int:
    """The number of the frame with this timecode, counted from 00:00:00:00, at an exact frame rate.

    Raises:
        BadTimecode: not of the form HH:MM:SS:FF, or no frame has this timecode.
    """
    found = _TIMECODE.fullmatch(text.strip())
    if not found:
        raise BadTimecode(f"{text!r} is no timecode; expected HH:MM:SS:FF")
    hours, minutes, seconds, frames = (int(found[group]) for group in (1, 2, 3, 5))
    nominal = round(rate)
    if frames >= nominal:
        raise BadTimecode(f"{text} has frame {frames:02}, but a second has {nominal} at {float(rate):.6g} fps")
    number = ((hours * 60 + minutes) * 60 + seconds) * nominal + frames
    if found[4] == ":":
        return number
    if not has_drop_frame(rate):
        raise BadTimecode(f"{text} is drop-frame timecode, which does not exist at {float(rate):.6g} fps")
    dropped = nominal // 15
    if minutes % 10 and not seconds and frames < dropped:
        raise BadTimecode(f"{text} does not exist in drop-frame timecode")
    return number - dropped * (hours * 60 + minutes - (hours * 60 + minutes) // 10)
