"""The camera rig: position relative to a subject, easing of movements, and handheld camera shake.

Movements per term are in `moves.py`, projection in `camera.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from data_pipeline.studio.camera import Camera

WIDE_OPEN = 1.2  # f-number for shots with shallow depth of field


@dataclass(frozen=True)
class Rig:
    """Camera parameters relative to a subject, in metres, degrees and mm. At azimuth 0 the camera looks along y."""

    distance: float
    height: float
    focal: float
    azimuth: float = 0.0  # orbit around the subject, positive to the camera's right
    right: float = 0.0  # lateral offset from the line to the subject
    yaw: float = 0.0  # to the right of that line
    pitch: float = 0.0
    roll: float = 0.0
    focus: float = 0.0  # focus distance; 0: everything is in focus

    def camera(self, subject: tuple[float, float] = (0.0, 0.0)) -> Camera:
        """Return the camera for a subject at this position (x, y) on the floor."""
        sine, cosine = math.sin(math.radians(self.azimuth)), math.cos(math.radians(self.azimuth))
        x = subject[0] + self.distance * sine + self.right * cosine
        y = subject[1] - self.distance * cosine + self.right * sine
        eye, yaw = (x, y, self.height), self.yaw - self.azimuth
        return Camera(eye, yaw, self.pitch, self.roll, self.focal, focus=self.focus or None, f_number=WIDE_OPEN)


@dataclass(frozen=True)
class CameraShake:
    """Handheld camera shake: slow sines of incommensurable frequencies, amplitude in degrees for a 35 mm lens."""

    degrees: float
    phases: tuple[float, ...] = (0.0,) * 9

    def of(self, rig: Rig, seconds: float) -> Rig:
        """Return the rig with the shake at this time."""
        if not self.degrees:
            return rig
        waves = [math.sin(math.tau * (0.37 + 0.29 * n) * seconds + phase) for n, phase in enumerate(self.phases)]
        yaw, pitch, roll = (self.degrees * 35 / rig.focal * sum(waves[n::3]) / 3 for n in range(3))
        return replace(rig, yaw=rig.yaw + yaw, pitch=rig.pitch + pitch, roll=rig.roll + roll / 2)


def eased(share: float) -> float:
    """Ease in and out: map [0, 1] to [0, 1], slower at both ends."""
    return 0.4 * share + 0.6 * share * share * (3 - 2 * share)
