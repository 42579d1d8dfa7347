"""The camera of the studio: where it stands, what its lens sees, where a point of the stage falls in the picture.

The stage is measured in metres: x to the right, y away from the camera, z up. Angles are in degrees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Point = tuple[float, float, float]
Size = tuple[int, int]

GATE_WIDTH = 36.0
GATE_HEIGHT = GATE_WIDTH * 9 / 16
NEAR = 0.05


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. Yaw turns it to the right, pitch up, roll clockwise; the lens is in mm on a 36 mm gate."""

    position: Point
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    lens: float = 35.0
    fisheye: bool = False

    @cached_property
    def axes(self) -> Array:
        """The camera's right, up and forward directions, one per row."""
        yaw, pitch, roll = (math.radians(angle) for angle in (self.yaw, self.pitch, self.roll))
        forward = np.array([math.sin(yaw) * math.cos(pitch), math.cos(yaw) * math.cos(pitch), math.sin(pitch)])
        level = np.array([math.cos(yaw), -math.sin(yaw), 0.0])
        upright = np.cross(level, forward)
        right = math.cos(roll) * level - math.sin(roll) * upright
        up = math.sin(roll) * level + math.cos(roll) * upright
        return np.stack([right, up, forward])

    def see(self, points: Array) -> Array:
        """Points of the stage in the camera's own right, up, depth coordinates."""
        return np.asarray((points - np.array(self.position)) @ self.axes.T)

    def focal_pixels(self, size: Size) -> float:
        return self.lens / GATE_WIDTH * size[0]

    def image(self, seen: Array, size: Size) -> Array:
        """Pixels of points already in camera coordinates; only points in front of the camera make sense."""
        return self.from_tangents(seen[..., :2] / np.maximum(seen[..., 2:], NEAR / 2), size)

    def from_tangents(self, tangents: Array, size: Size) -> Array:
        """Pixels of sight lines, given as right and up over depth."""
        scale: float | Array = self.focal_pixels(size)
        if self.fisheye:
            # Equidistant: the angle off the axis, not its tangent, is the distance from the picture's middle.
            off_axis = np.maximum(np.linalg.norm(tangents, axis=-1, keepdims=True), 1e-9)
            scale = np.asarray(scale * np.arctan(off_axis) / off_axis)
        pixels: Array = tangents * scale * np.array([1.0, -1.0]) + np.array(size) / 2
        return pixels

    def project(self, points: Array, size: Size) -> Array:
        """Pixels of points of the stage."""
        return self.image(self.see(points), size)

    def may_show(self, seen: Array, size: Size) -> npt.NDArray[np.bool_]:
        """Which polygons (camera coordinates) are neither behind us nor wholly beyond one edge of the picture."""
        before = (seen[..., 2] >= NEAR).any(axis=1)
        if self.fisheye:  # its edges are no planes
            return np.asarray(before)
        reach, edge = seen[..., :2] * self.focal_pixels(size), seen[..., 2:] * np.array(size) / 2
        beyond = (reach > edge).all(axis=1) | (reach < -edge).all(axis=1)
        return np.asarray(before & ~beyond.any(axis=1))

    def outline(self, seen: Array, size: Size) -> Array | None:
        """The pixel outline of one flat polygon, cut off at the near plane; None when nothing is in front."""
        seen = clip_near(seen)
        if len(seen) < 3:
            return None
        return self.image(_with_more_corners(seen) if self.fisheye else seen, size)


def clip_near(seen: Array) -> Array:
    """The part of a polygon (camera coordinates) that lies in front of the near plane."""
    if (seen[:, 2] >= NEAR).all():
        return seen
    kept: list[Array] = []
    for here, there in zip(seen, np.roll(seen, -1, axis=0), strict=True):
        if here[2] >= NEAR:
            kept.append(here)
        if (here[2] >= NEAR) != (there[2] >= NEAR):
            kept.append(here + (there - here) * (NEAR - here[2]) / (there[2] - here[2]))
    return np.array(kept).reshape(-1, 3)


def _with_more_corners(seen: Array) -> Array:
    """A corner about every metre: a fisheye bends straight edges, a polygon bends only at its corners."""
    pieces: list[Array] = []
    for here, there in zip(seen, np.roll(seen, -1, axis=0), strict=True):
        steps = int(np.clip(np.linalg.norm(there - here), 8, 1000))
        pieces.append(here + (there - here) * np.linspace(0, 1, steps, endpoint=False)[:, None])
    return np.concatenate(pieces)


def looking_at(position: Point, target: Point, lens: float = 35.0, roll: float = 0.0, fisheye: bool = False) -> Camera:
    """A camera at a position, turned so that the target is in the middle of the picture."""
    across, ahead, rise = (there - here for here, there in zip(position, target, strict=True))
    yaw = math.degrees(math.atan2(across, ahead))
    pitch = math.degrees(math.atan2(rise, math.hypot(across, ahead)))
    return Camera(position, yaw, pitch, roll, lens, fisheye)


def distance_for(frame_height: float, lens: float) -> float:
    """How far away a camera must stand for its frame to be so many metres high."""
    return frame_height * lens / GATE_HEIGHT
