"""Poses of figures."""

from __future__ import annotations

from dataclasses import dataclass, field

STATURE = 1.75  # metres, of an unscaled figure
SEAT = 0.42  # metres by which sitting lowers the hips


@dataclass(frozen=True)
class Arm:
    """Angles of an arm in degrees."""

    swing: float = 0.0  # forwards
    spread: float = 7.0  # away from the body
    bend: float = 15.0  # of the elbow


@dataclass(frozen=True)
class Pose:
    """The pose of a figure. `walk` is the phase of the walk cycle, where 1 is two steps; None: standing."""

    left: Arm = field(default_factory=Arm)
    right: Arm = field(default_factory=Arm)
    walk: float | None = None
    head_turn: float = 0.0  # degrees, clockwise seen from above, as headings are
    head_tilt: float = 0.0  # degrees, upwards
    sitting: bool = False
    stride: float = 0.05  # metres between the feet of a standing figure, front to back
