"""Lights and environment: lamps, sun and moon, sky, ambient light, fog and exposure.

A light's power is its irradiance on a surface facing it; for lamps, at the point they aim at. Directions are given as
azimuth (0 from the default camera's side, 90 from its right) and elevation in degrees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from data_pipeline.studio.camera import Array, Point

Tone = tuple[float, float, float]  # linear red, green and blue
SUBJECT: Point = (0.0, 0.0, 1.5)  # default target of lamps


@dataclass(frozen=True)
class Light:
    """One light: a lamp at `position`, or a sun in the direction of `position`.

    `size` is the radius in metres or, for a sun, the tangent of its angular radius.
    """

    position: Point
    tone: Tone
    is_sun: bool = False
    size: float = 0.0
    aim: Point = SUBJECT
    cone: float = 180.0  # half angle of the light cone in degrees; 180: omnidirectional
    samples: int = 9  # shadow samples, if it has a size; 0: it casts no shadow

    def row(self) -> Array:
        """Return the light as a renderer row (13,)."""
        position, axis = np.array(self.position), np.zeros(3)
        if self.is_sun:
            position = position / np.linalg.norm(position)
        else:
            axis = np.array(self.aim) - position
            axis = axis / max(1e-9, float(np.linalg.norm(axis)))
        edge = math.cos(math.radians(self.cone)) if self.cone < 180 else -2.0
        samples = self.samples if self.size > 0 else min(1, self.samples)
        return np.array([*position, 0.0 if self.is_sun else 1.0, *self.tone, edge, *axis, self.size, samples])


@dataclass(frozen=True)
class Disc:
    """The visible disc of the sun or moon in the sky."""

    toward: Point
    radius: float  # degrees
    tone: Tone


@dataclass(frozen=True)
class Lighting:
    """All light on a stage, and exposure and grading."""

    lights: tuple[Light, ...] = ()
    ambient: Tone = (0.1, 0.1, 0.1)  # from above
    ambient_below: Tone | None = None
    zenith: Tone = (0.01, 0.01, 0.01)
    horizon: Tone = (0.01, 0.01, 0.01)
    clouds: float = 0.0
    stars: float = 0.0
    disc: Disc | None = None
    fog: Tone = (0.62, 0.70, 0.80)
    fog_density: float = 0.0  # per metre
    exposure: float = 0.8
    white: Tone = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    saturation: float = 1.0
    bloom: float = 0.25

    def lit_by(self, *lights: Light) -> Lighting:
        """Return the same environment with additional lights."""
        return replace(self, lights=(*self.lights, *lights))

    def light_rows(self) -> Array:
        """Return the lights as renderer rows (n, 13)."""
        return np.array([light.row() for light in self.lights]).reshape(-1, 13)

    def environment(self) -> Array:
        """Return sky, ambient light and fog as the renderer's vector (25,)."""
        below = self.ambient_below or self.ambient
        toward, edge, tone = (0.0, 0.0, 1.0), 2.0, (0.0, 0.0, 0.0)
        if self.disc is not None:
            toward, edge, tone = self.disc.toward, math.cos(math.radians(self.disc.radius)), self.disc.tone
        unit = np.array(toward) / np.linalg.norm(toward)
        sky = (*self.zenith, *self.horizon, self.clouds, self.stars, *self.fog, self.fog_density)
        return np.array([*self.ambient, *below, *sky, *unit, edge, *tone])


def around(azimuth: float, elevation: float, distance: float, centre: Point = SUBJECT) -> Point:
    """Return the point at a distance and direction from `centre`."""
    side, height = math.radians(azimuth), math.radians(elevation)
    return (
        centre[0] + math.sin(side) * math.cos(height) * distance,
        centre[1] - math.cos(side) * math.cos(height) * distance,
        centre[2] + math.sin(height) * distance,
    )


def key(
    azimuth: float,
    elevation: float,
    tone: Tone,
    power: float,
    *,
    size: float = 0.0,
    distance: float = 4.0,
    aim: Point = SUBJECT,
    cone: float = 180.0,
    samples: int = 9,
) -> Light:
    """Return a lamp that lights the subject from a direction."""
    bright = power * (0.15 + distance * distance)
    position = around(azimuth, elevation, distance, aim)
    return Light(position, scaled(tone, bright), False, size, aim, cone, samples)


def lamp(position: Point, tone: Tone, power: float, *, size: float = 0.1, samples: int = 9) -> Light:
    """Return an omnidirectional lamp; its power is the irradiance at a distance of one metre."""
    return Light(position, scaled(tone, power * 1.15), False, size, samples=samples)


def sun(azimuth: float, elevation: float, tone: Tone, power: float, *, size: float = 0.01, samples: int = 9) -> Light:
    """Return a directional light: the sun, the moon, or an overcast sky (large size)."""
    return Light(around(azimuth, elevation, 1.0, (0.0, 0.0, 0.0)), scaled(tone, power), True, size, samples=samples)


def scaled(tone: Tone, factor: float) -> Tone:
    """Return the colour scaled by a factor."""
    return tone[0] * factor, tone[1] * factor, tone[2] * factor


def kelvin(temperature: float) -> Tone:
    """Return the linear colour of a black body with a maximum of 1, after Tanner Helland's fit."""
    heat = temperature / 100
    red = 1.0 if heat <= 66 else min(1.0, 1.292 * (heat - 60) ** -0.1332)
    green = 0.39 * math.log(heat) - 0.632 if heat <= 66 else 1.13 * (heat - 60) ** -0.0755
    blue = 1.0 if heat >= 66 else 0.0 if heat <= 19 else 0.543 * math.log(heat - 10) - 1.196
    return red**2.2, min(1.0, max(0.0, green)) ** 2.2, min(1.0, max(0.0, blue)) ** 2.2
