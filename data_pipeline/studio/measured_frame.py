"""Measurements of a rendered frame on which the whole-shot truth rests: who is visible, how large, where, how lit.

Positions and shares come from the instance ids of the frame, so that occlusion and the borders of the picture count;
sizes and directions come from the geometry of camera, figures and lights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from data_pipeline.studio.camera import Camera, Point
from data_pipeline.studio.figures import Figure
from data_pipeline.studio.lights import Light, Tone
from data_pipeline.studio.render import SET, Frame
from data_pipeline.studio.solids import BOUND, GLOW, TEXTURE, Texture
from data_pipeline.studio.stage import OPEN_AIR, Stage

LUMINANCE = np.array([0.30, 0.59, 0.11])  # as in `develop.py`
LAMP_GLOW = 1.7  # emission above which an object is a lit lamp; panes of windows and screens emit less
BODY = np.linspace(0.0, 1.0, 101)  # points along a figure's axis, as shares of the stature


@dataclass(frozen=True)
class VisibleFigure:
    """A figure of which at least one pixel is visible."""

    figure: Figure
    share: float  # of the frame that it covers
    x: float  # centre of its visible area, -0.5 at the left edge to 0.5 at the right
    distance: float  # metres along the optical axis
    height: float  # stature as a share of the height of the frame at its distance, not foreshortened
    lowest: float  # visible part of its axis, as shares of the stature: 0 at the soles, 1 at the crown
    highest: float

    def facing(self, camera: Camera) -> float:
        """Where the head points, in degrees from -180 to 180: 0 away from the camera, 90 to the right of the frame."""
        return _wrapped(self.figure.facing + self.figure.pose.head_turn - camera.yaw)


@dataclass(frozen=True)
class Beam:
    """A light as it falls on the subject."""

    light: Light
    power: float  # luminance of its irradiance
    azimuth: float  # degrees off the direction to the camera, 0 to 180, by compass
    elevation: float  # degrees
    spread: float  # tangent of its angular radius: 0 for a point source, whose shadows have sharp edges


@dataclass(frozen=True, eq=False)
class MeasuredFrame:
    """A frame with the stage and the camera that it was rendered from."""

    stage: Stage
    camera: Camera
    frame: Frame

    @cached_property
    def figures(self) -> tuple[VisibleFigure, ...]:
        """The visible figures, largest first."""
        seen = [self._visible(number, figure) for number, figure in enumerate(self.stage.figures, start=1)]
        return tuple(sorted((one for one in seen if one), key=lambda one: -one.share))

    def _visible(self, number: int, figure: Figure) -> VisibleFigure | None:
        columns = self.frame.figure_mask(number).sum(axis=0)
        pixels = int(columns.sum())
        if not pixels:
            return None
        width, height = self.frame.size
        across = float((columns * (np.arange(width) + 0.5)).sum()) / pixels / width - 0.5
        x, y, _ = figure.at(0.0)
        axis = self.camera.project([(x, y, figure.at(share)[2]) for share in BODY], (width, height))
        inside = (axis[:, 1] >= 0) & (axis[:, 1] <= height) & (axis[:, 2] > 0)
        distance = max(0.1, float(axis[len(BODY) // 2, 2]))
        half = self.camera.half_field
        half_height = math.tan(half * height / width) if self.camera.fisheye else math.tan(half) * height / width
        lowest, highest = (float(BODY[inside].min()), float(BODY[inside].max())) if inside.any() else (1.0, 0.0)
        tall = figure.appearance.stature / (2 * distance * half_height)
        return VisibleFigure(figure, pixels / self.frame.ids.size, across, distance, tall, lowest, highest)

    @cached_property
    def columns(self) -> npt.NDArray[np.float64]:
        """Share of the area of all figures in each column of the frame, (width,); zeros if none is visible."""
        counts = (self.frame.ids > SET).sum(axis=0).astype(np.float64)
        return np.asarray(counts / max(1.0, float(counts.sum())))

    @cached_property
    def median_depth(self) -> float:
        """Median distance in metres of what is visible, the sky included."""
        return float(np.median(self.frame.depth))

    @property
    def is_indoors(self) -> bool:
        """Whether the set is a room."""
        return self.stage.scenery.room != OPEN_AIR

    @cached_property
    def lamps(self) -> list[Point]:
        """Positions of lit lamps and flames in the picture."""
        rows = np.concatenate([self.stage.scenery.solids.rows(), *(prop.rows() for prop in self.stage.props)])
        spots = rows[(rows[:, GLOW] > LAMP_GLOW) & (rows[:, TEXTURE] != Texture.WINDOWS), BOUND : BOUND + 3]
        return [(float(spot[0]), float(spot[1]), float(spot[2])) for spot in spots if self.shows(spot)]

    def shows(self, spot: npt.NDArray[np.float64]) -> bool:
        """Whether a point (3,) at the surface of something is in the picture and not hidden."""
        width, height = self.frame.size
        x, y, ahead = self.camera.project(spot, (width, height))
        if ahead <= 0 or not (0 <= x < width and 0 <= y < height):
            return False
        return bool(self.frame.depth[int(y), int(x)] > 0.97 * math.dist(spot, self.camera.eye) - 0.4)

    @cached_property
    def subject(self) -> Point:
        """The point whose light counts: the face of the largest figure, or else the centre of the picture."""
        if self.figures:
            return self.figures[0].figure.face(0.9)
        height, width = self.frame.depth.shape
        away = min(20.0, float(self.frame.depth[height // 2, width // 2]))
        x, y, z = np.array(self.camera.eye) + self.camera.axes[2] * away
        return float(x), float(y), float(z)

    @cached_property
    def beams(self) -> list[Beam]:
        """The lights as they fall on the subject, strongest first; occlusion is not considered."""
        return sorted((self._beam(light) for light in self.stage.lighting.lights), key=lambda beam: -beam.power)

    def _beam(self, light: Light) -> Beam:
        origin = (0.0, 0.0, 0.0) if light.is_sun else self.subject
        x, y, z = (one - other for one, other in zip(light.position, origin, strict=True))
        away = math.hypot(x, y, z)
        power = luminance(light.tone) / (1.0 if light.is_sun else 0.15 + away * away)
        to_camera = [eye - spot for eye, spot in zip(self.camera.eye, self.subject, strict=True)]
        turn = math.degrees(math.atan2(x, y) - math.atan2(to_camera[0], to_camera[1]))
        return Beam(
            light,
            power,
            abs(_wrapped(turn)),
            math.degrees(math.atan2(z, math.hypot(x, y))),
            light.size / (1.0 if light.is_sun else away),
        )

    @property
    def ambient(self) -> float:
        """Luminance of the light from everywhere."""
        lighting = self.stage.lighting
        return (luminance(lighting.ambient) + luminance(lighting.ambient_below or lighting.ambient)) / 2


def luminance(tone: Tone) -> float:
    """Luminance of a linear colour."""
    return float(LUMINANCE @ np.array(tone))


def _wrapped(degrees: float) -> float:
    return (degrees + 180.0) % 360.0 - 180.0
