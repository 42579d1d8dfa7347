"""Figures: people on the stage, their positions and projected height. `bodies.py` builds their solids."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from data_pipeline.studio.appearances import Appearance
from data_pipeline.studio.camera import Camera, Point, Size
from data_pipeline.studio.poses import SEAT, STATURE, Arm, Pose

__all__ = ["Arm", "Figure", "Pose"]


@dataclass(frozen=True)
class Figure:
    """A person on the stage. `facing` is a heading: 0 away from the default camera, 180 towards it, 90 to the right."""

    appearance: Appearance
    x: float = 0.0
    y: float = 0.0
    facing: float = 180.0
    pose: Pose = field(default_factory=Pose)

    def at(self, share: float) -> Point:
        """Return the point on the figure's axis at a share of its standing height: 0 at the soles, 0.94 at the eyes."""
        lowered = SEAT * self.scale if self.pose.sitting else 0.0
        return self.x, self.y, share * self.appearance.stature - lowered

    def face(self, share: float = 0.94) -> Point:
        """Return the point in front of the axis, at the depth of the face, at a share of the standing height."""
        x, y, z = self.at(share)
        heading, out = math.radians(self.facing + self.pose.head_turn), 0.10 * self.scale
        return x + math.sin(heading) * out, y + math.cos(heading) * out, z

    @property
    def scale(self) -> float:
        return self.appearance.stature / STATURE

    @property
    def crown(self) -> Point:
        """The top of the head."""
        return self.at(1.01)

    def height_in_frame(self, camera: Camera, size: Size) -> float:
        """Return the projected height from sole to crown as a share of the frame height; above 1 if cropped."""
        ends = camera.project(np.array([self.at(0.0), self.crown]), size)
        return float(np.hypot(*(ends[0, :2] - ends[1, :2]))) / size[1]
