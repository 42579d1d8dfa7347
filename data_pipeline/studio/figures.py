"""Figures: people on the stage, where they stand and how large a camera sees them. `bodies.py` builds their solids."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from data_pipeline.studio.camera import Camera, Point, Size
from data_pipeline.studio.looks import Appearance
from data_pipeline.studio.poses import SEAT, STATURE, Arm, Pose

__all__ = ["Arm", "Figure", "Pose"]


@dataclass(frozen=True)
class Figure:
    """A person on the stage. Facing is a heading: 0 looks away from the first camera, 180 at it, 90 to the right."""

    look: Appearance
    x: float = 0.0
    y: float = 0.0
    facing: float = 180.0
    pose: Pose = field(default_factory=Pose)

    def at(self, share: float) -> Point:
        """The point of the figure's axis at a share of its standing height: 0 on the ground, 0.94 at the eyes."""
        lowered = SEAT * self.scale if self.pose.sitting else 0.0
        return self.x, self.y, share * self.look.stature - lowered

    def face(self, share: float = 0.94) -> Point:
        """The point of the figure's front, as far out as the face, at a share of its height."""
        x, y, z = self.at(share)
        heading, out = math.radians(self.facing + self.pose.head_turn), 0.10 * self.scale
        return x + math.sin(heading) * out, y + math.cos(heading) * out, z

    @property
    def scale(self) -> float:
        return self.look.stature / STATURE

    @property
    def crown(self) -> Point:
        """The top of the head."""
        return self.at(1.01)

    def height_in_frame(self, camera: Camera, size: Size) -> float:
        """The figure's height, from sole to crown, as a share of the frame's; above 1 if the frame cuts it."""
        ends = camera.project(np.array([self.at(0.0), self.crown]), size)
        return float(np.hypot(*(ends[0, :2] - ends[1, :2]))) / size[1]
