"""One ray from the camera: what it meets and the light that comes back along it; and the picture of all rays."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from data_pipeline.studio.camera import Array
from data_pipeline.studio.frame_rays import near_tile, ray_through, scatter
from data_pipeline.studio.kernel import (
    Vector,
    along,
    dot,
    kept_kernel,
    kernel,
    plus,
    sources_digest,
    times,
)
from data_pipeline.studio.rays import NOTHING, first_met, triple, vector
from data_pipeline.studio.shading import FOG, FOG_DENSITY, ambience, lit, mixed, sky
from data_pipeline.studio.solids import CLUSTER, COLOUR, FIRST, GLOSS, GLOW, OWNER, SOFTNESS, TEXTURE
from data_pipeline.studio.surfaces import facing, melted, spot_on
from data_pipeline.studio.textures import WINDOWS, chance, tinted, window

TILE = 20  # pixels: clusters outside the rays of a tile are left out for all of them
GLARE = 6.0  # light is cut here before the samples of a pixel are mixed, or edges of lamps would stay jagged
ROUGH_STEP = 0.5  # a difference in tone on one solid that asks for more samples: patterns are filtered, shadows are not


@kernel
def window_light(rows: Array, i: int, point: Vector, spot: tuple[float, float], normal: Vector, pixel: float) -> Vector:
    """The light of windows at night: some of them, in warm and cool tones."""
    if abs(normal[2]) > 0.5:
        return 0.0, 0.0, 0.0
    column, floor = math.floor(spot[0] / 1.7), math.floor(spot[1] / 2.6)
    if chance(column + 13.0 * math.floor(rows[i, FIRST] + rows[i, FIRST + 1]), floor + 5.0) < 0.62:
        return 0.0, 0.0, 0.0
    bright = rows[i, GLOW] * window(spot[0], spot[1], pixel) * (0.3 + 0.7 * chance(floor, column))
    cool = chance(column, floor + 77.0)
    return bright, bright * (0.62 + 0.25 * cool), bright * (0.25 + 0.5 * cool)


@kernel
def stand_together(solids: Array, one: int, other: int) -> bool:
    return bool(solids[one, OWNER] == solids[other, OWNER] and solids[one, CLUSTER] == solids[other, CLUSTER])


@kernel
def outward(solids: Array, met: int, point: Vector) -> Vector:
    """The way a surface faces; a soft solid takes its cluster into account."""
    if solids[met, SOFTNESS] == 0.0:
        return facing(solids, met, point)
    start, end = met, met + 1
    while start > 0 and stand_together(solids, start - 1, met):
        start -= 1
    while end < solids.shape[0] and stand_together(solids, end, met):
        end += 1
    return melted(solids, start, end, met, point)


@kernel
def seen(
    near: Array,
    solids: Array,
    clusters: Array,
    spheres: Array,
    ground: Array,
    room: Array,
    lights: Array,
    surroundings: Array,
    found: Array,
    eye: Vector,
    ray: Vector,
    pixel: float,
    turn: float,
) -> tuple[Vector, int, float]:
    """The light of a ray, the solid it met (or `NOTHING` or `GROUND`) and the distance."""
    distance, met = first_met(solids, near, eye, ray)
    if met == NOTHING:
        return sky(surroundings, ray), met, 1e9
    point = along(eye, ray, distance)
    normal, spot, owner = (0.0, 0.0, 1.0), (point[0], point[1]), 0.0
    colour, gloss, texture = triple(ground, 0), ground[3], int(ground[4])
    if met >= 0:
        colour, gloss = vector(solids, met, COLOUR), solids[met, GLOSS]
        texture, owner = int(solids[met, TEXTURE]), solids[met, OWNER]
        if solids[met, GLOW] > 0.0 and texture != WINDOWS:
            return times(colour, solids[met, GLOW]), met, distance
        normal = outward(solids, met, point)
        spot = spot_on(solids, met, point)
    wide = distance * pixel / max(0.2, abs(dot(normal, ray)))
    tint = tinted(texture, spot[0], spot[1], wide)
    colour = (colour[0] * tint[0], colour[1] * tint[1], colour[2] * tint[2])
    soft = ambience(surroundings, room, spheres, point, normal, owner)
    light = (colour[0] * soft[0], colour[1] * soft[1], colour[2] * soft[2])
    if met >= 0 and texture == WINDOWS and solids[met, GLOW] > 0.0:
        light = plus(light, window_light(solids, met, point, spot, normal, wide))
    for k in range(lights.shape[0]):
        surface = (colour, gloss, texture, turn)
        light = plus(light, lit(solids, clusters, found, lights, k, point, normal, ray, surface))
    haze = 1 - math.exp(-distance * surroundings[FOG_DENSITY])
    return mixed(light, triple(surroundings, FOG), haze), met, distance


@kernel
def is_edge(light: Array, met: npt.NDArray[np.int64], j: int, i: int) -> bool:
    """Whether a pixel differs so much from a neighbour that one ray cannot tell its tone."""
    own = math.sqrt(light[j, i, 0]) + math.sqrt(light[j, i, 1]) + math.sqrt(light[j, i, 2])
    for k in range(4):
        jj, ii = j + (k == 0) - (k == 1), i + (k == 2) - (k == 3)
        if jj < 0 or ii < 0 or jj >= light.shape[0] or ii >= light.shape[1]:
            continue
        other = math.sqrt(light[jj, ii, 0]) + math.sqrt(light[jj, ii, 1]) + math.sqrt(light[jj, ii, 2])
        if met[jj, ii] != met[j, i] or abs(other - own) > ROUGH_STEP:
            return True
    return False


@lru_cache(maxsize=1)
def painter() -> Callable[..., int]:
    """The compiled function that fills light (height, width, 3), solids met and distances."""
    digest = sources_digest()

    @kept_kernel
    def paint(
        solids: Any, clusters: Any, spheres: Any, ground: Any, room: Any, lights: Any, surroundings: Any,
        eye: Any, axes: Any, half_field: Any, fisheye: Any, light: Any, met: Any, depth: Any,
    ) -> int:  # fmt: skip
        height, width = met.shape
        tall, pixel = height / width, 2 * math.tan(min(half_field, 1.2)) / width
        found, near = np.zeros(clusters.shape[0] + 1), np.zeros((clusters.shape[0] + 1, clusters.shape[1]))
        first, box = np.zeros((height, width, 3)), np.zeros(4)
        for sampling in range(2):  # one ray a pixel; then more where one is not enough
            for upper in range(0, height, TILE):
                for left in range(0, width, TILE):
                    box[0], box[1] = left / width * 2 - 1, (left + TILE) / width * 2 - 1
                    box[2], box[3] = (1 - upper / height * 2) * tall, (1 - (upper + TILE) / height * 2) * tall
                    kept = near[: near_tile(clusters, eye, axes, half_field, fisheye, box, near)]
                    for j in range(upper, min(height, upper + TILE)):
                        for i in range(left, min(width, left + TILE)):
                            if sampling == 1 and not is_edge(first, met, j, i):
                                for k in range(3):
                                    light[j, i, k] = first[j, i, k]
                                continue
                            for sample in range(1 if sampling == 0 else 4):
                                right = 0.5 if sampling == 0 else (0.125, 0.625, 0.375, 0.875)[sample]
                                down = 0.5 if sampling == 0 else (0.375, 0.125, 0.875, 0.625)[sample]
                                x, y = (i + right) / width * 2 - 1, (1 - (j + down) / height * 2) * tall
                                tone, solid, distance = seen(
                                    kept, solids, clusters, spheres, ground, room, lights, surroundings, found, eye,
                                    ray_through(axes, half_field, fisheye, x, y), pixel, scatter(i, j, sample),
                                )  # fmt: skip
                                if sampling == 0:
                                    met[j, i], depth[j, i] = solid, distance
                                for k in range(3):
                                    if sampling == 0:
                                        first[j, i, k] = min(GLARE, tone[k])
                                    else:
                                        light[j, i, k] += min(GLARE, tone[k])
                            if sampling == 1:
                                for k in range(3):
                                    light[j, i, k] = (light[j, i, k] + first[j, i, k]) / 5
        return digest

    return paint
