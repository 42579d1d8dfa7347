"""How a stored frame must be turned to be upright: the display matrix of FFmpeg, as players apply it.

Owns all eight orientations: four rotations, each with or without a reflection. `VideoFrame.rotation` of PyAV gives the
angle only, and for a reflected frame a wrong one.
"""

from __future__ import annotations

import struct
from math import atan2, degrees
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy

DISPLAY_MATRIX = "DISPLAYMATRIX"
ENTRIES = struct.Struct("=9i")  # a b u, c d v, x y w: x' = ax + cy, y' = bx + dy, with y downwards


class Orientation(NamedTuple):
    """A stored frame is upright after it is mirrored, if so, and then rotated."""

    degrees: int = 0  # counterclockwise
    mirrored: bool = False  # left and right are exchanged

    @property
    def quarter_turns(self) -> int:
        """The nearest number of counterclockwise quarter turns."""
        return round(self.degrees / 90) % 4

    def upright(self, picture: numpy.ndarray) -> numpy.ndarray:
        """View of a stored picture [height, width, ...], turned upright."""
        import numpy

        turned: numpy.ndarray = numpy.rot90(picture[:, ::-1] if self.mirrored else picture, self.quarter_turns)
        return turned


def display_orientation(frame: Any) -> Orientation:
    """Orientation by the display matrix of a decoded `av.VideoFrame`; upright if it has none, or no valid one."""
    matrix = next((bytes(data) for data in frame.side_data if data.type.name == DISPLAY_MATRIX), b"")
    if len(matrix) != ENTRIES.size:
        return Orientation()
    a, b, _, c, d, *_ = ENTRIES.unpack(matrix)
    if a * d == b * c:
        return Orientation()
    mirrored = a * d < b * c
    clockwise = atan2(-b, -a) if mirrored else atan2(b, a)  # direction of the (mirrored) x axis
    return Orientation(round(-degrees(clockwise)) % 360, mirrored)
