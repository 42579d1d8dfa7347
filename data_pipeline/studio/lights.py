"""Lights and surroundings: lamps, sun and moon, sky, ambience and the way the picture is exposed.

A light's power is the light it throws on a surface that faces it: of lamps, at the spot they aim at. Directions are
given as the azimuth, 0 from the first camera's side and 90 from its right, and the elevation, in degrees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from data_pipeline.studio.camera import Array, Point

Tone = tuple[float, float, float]  # amounts of red, green and blue light
SUBJECT: Point = (0.0, 0.0, 1.5)  # where lamps aim when nothing else is said


@dataclass(frozen=True)
class Light:
    """One light: a sun, if `place` is a direction, or a lamp. Size: of a lamp in metres, of a sun as a tangent."""

    place: Point
    tone: Tone
    is_sun: bool = False
    size: float = 0.0
    aim: Point = SUBJECT
    cone: float = 180.0  # degrees from the axis to the edge of what it lights
    samples: int = 9  # of its shadow's edge, if it has a size; 0: it casts no shadow

    def row(self) -> Array:
        """As the renderer reads it."""
        place, axis = np.array(self.place), np.zeros(3)
        if self.is_sun:
            place = place / np.linalg.norm(place)
        else:
            axis = np.array(self.aim) - place
            axis = axis / max(1e-9, float(np.linalg.norm(axis)))
        edge = math.cos(math.radians(self.cone)) if self.cone < 180 else -2.0
        samples = self.samples if self.size > 0 else min(1, self.samples)
        return np.array([*place, 0.0 if self.is_sun else 1.0, *self.tone, edge, *axis, self.size, samples])


@dataclass(frozen=True)
class Disc:
    """The sun or the moon as it is seen in the sky."""

    toward: Point
    radius: float  # degrees
    tone: Tone


@dataclass(frozen=True)
class Lighting:
    """All light on a stage and how it is photographed."""

    lights: tuple[Light, ...] = ()
    ambient: Tone = (0.1, 0.1, 0.1)  # from above
    ambient_below: Tone | None = None
    zenith: Tone = (0.01, 0.01, 0.01)
    horizon: Tone = (0.01, 0.01, 0.01)
    clouds: float = 0.0
    stars: float = 0.0
    disc: Disc | None = None
    fog: Tone = (0.62, 0.70, 0.80)
    fog_density: float = 0.0  # share lost a metre
    exposure: float = 0.8
    white: Tone = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    saturation: float = 1.0
    bloom: float = 0.25

    def lit_by(self, *lights: Light) -> Lighting:
        """The same surroundings with more lights."""
        return replace(self, lights=(*self.lights, *lights))

    def light_rows(self) -> Array:
        """The lights as the renderer reads them."""
        return np.array([light.row() for light in self.lights]).reshape(-1, 13)

    def surroundings(self) -> Array:
        """Sky, ambience and fog as the renderer reads them."""
        below = self.ambient_below or self.ambient
        toward, edge, tone = (0.0, 0.0, 1.0), 2.0, (0.0, 0.0, 0.0)
        if self.disc is not None:
            toward, edge, tone = self.disc.toward, math.cos(math.radians(self.disc.radius)), self.disc.tone
        unit = np.array(toward) / np.linalg.norm(toward)
        sky = (*self.zenith, *self.horizon, self.clouds, self.stars, *self.fog, self.fog_density)
        return np.array([*self.ambient, *below, *sky, *unit, edge, *tone])


def around(azimuth: float, elevation: float, distance: float, centre: Point = SUBJECT) -> Point:
    """The place so far from a spot in a direction."""
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
    """A lamp on the subject from some direction."""
    bright = power * (0.15 + distance * distance)
    place = around(azimuth, elevation, distance, aim)
    return Light(place, scaled(tone, bright), False, size, aim, cone, samples)


def lamp(place: Point, tone: Tone, power: float, *, size: float = 0.1, samples: int = 9) -> Light:
    """A lamp that shines all around; its power is what falls on a surface a metre away."""
    return Light(place, scaled(tone, power * 1.15), False, size, samples=samples)


def sun(azimuth: float, elevation: float, tone: Tone, power: float, *, size: float = 0.01, samples: int = 9) -> Light:
    """Light from so far away that all its rays run alike: the sun, the moon, an overcast sky (of great size)."""
    return Light(around(azimuth, elevation, 1.0, (0.0, 0.0, 0.0)), scaled(tone, power), True, size, samples=samples)


def scaled(tone: Tone, factor: float) -> Tone:
    """More or less of the same light."""
    return tone[0] * factor, tone[1] * factor, tone[2] * factor


def kelvin(temperature: float) -> Tone:
    """The colour of a black body, its greatest part 1 (after Tanner Helland's fit), as light."""
    heat = temperature / 100
    red = 1.0 if heat <= 66 else min(1.0, 1.292 * (heat - 60) ** -0.1332)
    green = 0.39 * math.log(heat) - 0.632 if heat <= 66 else 1.13 * (heat - 60) ** -0.0755
    blue = 1.0 if heat >= 66 else 0.0 if heat <= 19 else 0.543 * math.log(heat - 10) - 1.196
    return red**2.2, min(1.0, max(0.0, green)) ** 2.2, min(1.0, max(0.0, blue)) ** 2.2
