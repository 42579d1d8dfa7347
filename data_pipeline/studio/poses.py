"""How a figure holds itself."""

from __future__ import annotations

from dataclasses import dataclass, field

STATURE = 1.75  # metres, of the figure as it is built
SEAT = 0.42  # metres that sitting lowers the hips


@dataclass(frozen=True)
class Arm:
    """An arm's angles in degrees: forward, away from the body, and the bend of the elbow."""

    swing: float = 0.0
    spread: float = 7.0
    bend: float = 15.0


@dataclass(frozen=True)
class Pose:
    """How a figure holds itself. `walk` is the phase of its step: 1 is a full cycle of two steps; None stands."""

    left: Arm = field(default_factory=Arm)
    right: Arm = field(default_factory=Arm)
    walk: float | None = None
    head_turn: float = 0.0  # degrees, clockwise seen from above, as headings are
    head_tilt: float = 0.0  # up
    sitting: bool = False
    stride: float = 0.05  # how far the feet of one who stands are apart, fore and aft
