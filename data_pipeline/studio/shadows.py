"""The shadows that round things cast on the floor and on the wall, as polygons that lie there."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from data_pipeline.studio.camera import Array
from data_pipeline.studio.light import Light
from data_pipeline.studio.solids import Thing, skin

CORNERS = 16
SAMPLES = 80
NONE: Array = np.zeros((0, CORNERS, 3))


def _hulls(points: Array, first: int, second: int) -> Array:
    """The convex outline of each row of points on a plane: the farthest point in each direction of the compass."""
    angle = np.arange(CORNERS) * 2 * math.pi / CORNERS
    reach = points[..., [first, second]] @ np.stack([np.cos(angle), np.sin(angle)])
    return np.take_along_axis(points, reach.argmax(axis=1)[..., None], axis=1)


def _cast_shadows(things: tuple[Thing, ...]) -> Array:
    """Points all over whatever is large enough to cast a shadow (eyes and lips are not)."""
    skins = [skin(thing, SAMPLES, marks=False) for thing in things if thing.rounds]
    return np.concatenate(skins) if skins else np.zeros((0, 2 * SAMPLES, 3))


@lru_cache(maxsize=64)
def floor_shadows(things: tuple[Thing, ...], light: Light, wall: float | None) -> Array:
    """Shadows on the floor, which ends at the wall."""
    toward = light.direction()
    if toward[2] < 0.05:
        return NONE
    points = _cast_shadows(things)
    points = points - toward * (np.maximum(points[..., 2:], 0) / toward[2])
    if wall is not None:
        points[..., 1] = np.minimum(points[..., 1], wall)
    return _hulls(points, 0, 1)


@lru_cache(maxsize=64)
def wall_shadows(things: tuple[Thing, ...], light: Light, wall: float) -> Array:
    """Shadows on the wall behind the stage; those that would lie below the floor are left out."""
    toward = light.direction()
    if toward[1] > -0.05:
        return NONE
    points = _cast_shadows(things)
    points = points - toward * ((points[..., 1:2] - wall) / toward[1])
    points = points[(points[..., 2] > 0).all(axis=1)]
    return _hulls(points, 0, 2)
