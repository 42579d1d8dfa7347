"""Parse a frame rate that a person gives."""

from __future__ import annotations

from fractions import Fraction

from lmms_eval_shotbench.labelling.timecode import editing_rate

MOST = 1000  # frames per second


class BadRate(ValueError):
    """A text is no frame rate."""


def parse_rate(text: str) -> Fraction:
    """The exact frame rate that is meant, such as 24000/1001 by "23.976", "23.98" and "24000/1001".

    Raises:
        BadRate: no number of frames per second.
    """
    try:
        rate = Fraction(text.strip().replace(",", "."))
    except (ValueError, ZeroDivisionError):
        raise BadRate(f"{text!r} is no frame rate; write 24, 23.976 or 24000/1001") from None
    if not 0 < rate <= MOST:
        raise BadRate(f"{text} frames per second is none between 0 and {MOST:,}; write 24, 23.976 or 24000/1001")
    return editing_rate(rate) or rate
