"""The virtual camera: position, orientation, lens, and the projection of points on the stage.

Units are metres; x points right, y away from the default camera, z up. A heading of 0 degrees looks along y, 90 along
x. Pixel coordinates start at the upper left corner of the frame, so the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Point: TypeAlias = tuple[float, float, float]
Size: TypeAlias = tuple[int, int]  # width, height

GATE = 36.0  # mm, width of a full frame; focal lengths refer to it
ASPECT = 16 / 9


@dataclass(frozen=True)
class Camera:
    """A static camera. Positive pitch looks up; positive roll turns the camera clockwise, the image the other way."""

    eye: Point
    yaw: float = 0.0  # degrees, as are pitch and roll
    pitch: float = 0.0
    roll: float = 0.0
    focal_length: float = 35.0  # mm on a full frame; for a fisheye, of its equidistant projection
    fisheye: bool = False
    focus: float | None = None  # focus distance in metres; None: everything is in focus
    f_number: float = 4.0

    @property
    def half_field(self) -> float:
        """Half the horizontal field of view in radians."""
        if self.fisheye:
            return GATE / 2 / self.focal_length
        return math.atan(GATE / 2 / self.focal_length)

    @property
    def axes(self) -> Array:
        """Unit vectors right, up and forward as rows (3, 3)."""
        yaw, pitch, roll = (math.radians(angle) for angle in (self.yaw, self.pitch, self.roll))
        forward = np.array([math.sin(yaw) * math.cos(pitch), math.cos(yaw) * math.cos(pitch), math.sin(pitch)])
        right = np.array([math.cos(yaw), -math.sin(yaw), 0.0])
        up = np.cross(right, forward)
        cosine, sine = math.cos(roll), math.sin(roll)
        return np.array([cosine * right - sine * up, sine * right + cosine * up, forward])

    def project(self, points: npt.ArrayLike, size: Size) -> Array:
        """Project points (..., 3) in metres to (..., 3): pixel x, pixel y, depth along the optical axis in metres."""
        seen = (np.asarray(points, dtype=np.float64) - np.array(self.eye)) @ self.axes.T
        across, up, ahead = seen[..., 0], seen[..., 1], seen[..., 2]
        if self.fisheye:
            off_axis = np.hypot(across, up)
            reach = np.arctan2(off_axis, ahead) / self.half_field / np.maximum(off_axis, 1e-12)
        else:
            reach = 1.0 / (ahead * math.tan(self.half_field))
        width, height = size
        return np.stack([(1 + across * reach) * width / 2, height / 2 - up * reach * width / 2, ahead], axis=-1)

    def rays(self, size: Size) -> Array:
        """Return the unit direction of the ray through the centre of every pixel, (height, width, 3)."""
        width, height = size
        across = np.broadcast_to(((np.arange(width) + 0.5) / width * 2 - 1)[None, :], (height, width))
        up = np.broadcast_to(((1 - (np.arange(height) + 0.5) / height * 2) * height / width)[:, None], (height, width))
        if self.fisheye:
            radius = np.hypot(across, up)
            angle = radius * self.half_field
            spread = np.sin(angle) / np.maximum(radius, 1e-9)
            directions = np.stack([across * spread, up * spread, np.cos(angle)], axis=-1)
        else:
            reach = math.tan(self.half_field)
            directions = np.stack([across * reach, up * reach, np.ones((height, width))], axis=-1)
        directions = directions @ self.axes
        return np.asarray(directions / np.linalg.norm(directions, axis=-1, keepdims=True))


def looking_at(
    eye: Point,
    target: Point,
    focal_length: float = 35.0,
    *,
    roll: float = 0.0,
    fisheye: bool = False,
    focus: float | None = None,
    f_number: float = 4.0,
) -> Camera:
    """Return a camera at `eye` with `target` in the centre of its frame."""
    across, away, up = (aimed - origin for aimed, origin in zip(target, eye, strict=True))
    level = math.hypot(across, away)
    yaw = math.degrees(math.atan2(across, away)) if level > 1e-6 else 0.0
    pitch = math.degrees(math.atan2(up, level))
    return Camera(eye, yaw, pitch, roll, focal_length, fisheye, focus, f_number)


def distance_for(frame_height: float, focal_length: float) -> float:
    """Return the distance in metres at which a 16:9 frame is `frame_height` metres high."""
    return frame_height * ASPECT * focal_length / GATE
