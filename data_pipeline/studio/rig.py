"""The camera as its crew moves it: round, towards and beside a subject, from rest to rest, in a hand or on a tripod.

What a term of the vocabulary does to it is in `moves.py`; what the camera sees is in `camera.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from data_pipeline.studio.camera import Camera

WIDE_OPEN = 1.2  # f-number where something is to be out of focus


@dataclass(frozen=True)
class Rig:
    """The camera as its crew moves it. With azimuth 0 it stands before the subject and looks along y."""

    distance: float
    height: float
    focal: float
    azimuth: float = 0.0  # round the subject, to its left: the camera's right
    right: float = 0.0  # beside the line to the subject
    yaw: float = 0.0  # to the right of that line
    pitch: float = 0.0
    roll: float = 0.0
    focus: float = 0.0  # metres; 0: all is sharp

    def camera(self, subject: tuple[float, float] = (0.0, 0.0)) -> Camera:
        """The camera, with the subject at this place of the floor."""
        sine, cosine = math.sin(math.radians(self.azimuth)), math.cos(math.radians(self.azimuth))
        x = subject[0] + self.distance * sine + self.right * cosine
        y = subject[1] - self.distance * cosine + self.right * sine
        eye, yaw = (x, y, self.height), self.yaw - self.azimuth
        return Camera(eye, yaw, self.pitch, self.roll, self.focal, focus=self.focus or None, f_number=WIDE_OPEN)


@dataclass(frozen=True)
class Tremble:
    """A hand that holds a camera: slow sines that never fit, as degrees of a 35 mm lens."""

    degrees: float
    phases: tuple[float, ...] = (0.0,) * 9

    def of(self, rig: Rig, seconds: float) -> Rig:
        """The rig as that hand holds it."""
        if not self.degrees:
            return rig
        waves = [math.sin(math.tau * (0.37 + 0.29 * n) * seconds + phase) for n, phase in enumerate(self.phases)]
        yaw, pitch, roll = (self.degrees * 35 / rig.focal * sum(waves[n::3]) / 3 for n in range(3))
        return replace(rig, yaw=rig.yaw + yaw, pitch=rig.pitch + pitch, roll=rig.roll + roll / 2)


def eased(share: float) -> float:
    """From 0 to 1 with a soft start and a soft stop, like a hand on a geared head."""
    return 0.4 * share + 0.6 * share * share * (3 - 2 * share)
