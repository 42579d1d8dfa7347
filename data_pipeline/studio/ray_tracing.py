"""Ray tracing: the hit and radiance of one camera ray, and the compiled loop over all pixels.

Array arguments are float64 and have the shapes of `stage.Built` and `Lighting.environment`; colours and radiance are
linear RGB, lengths are in metres.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from data_pipeline.studio.camera import Array
from data_pipeline.studio.frame_rays import cull_clusters, gradient_noise, ray_direction
from data_pipeline.studio.kernel import (
    Vector,
    add,
    cached_kernel,
    dot,
    kernel,
    point_along,
    scale,
    sources_digest,
)
from data_pipeline.studio.rays import NOTHING, first_hit, triple, vector
from data_pipeline.studio.shading import FOG, FOG_DENSITY, ambient_light, direct_light, lerp, sky
from data_pipeline.studio.solids import CLUSTER, COLOUR, FIRST, GLOSS, GLOW, OWNER, SOFTNESS, TEXTURE
from data_pipeline.studio.surfaces import blended_normal, surface_normal, texture_coordinates
from data_pipeline.studio.textures import WINDOWS, lattice_hash, texture_tint, window

TILE = 20  # pixels; clusters that no ray of a tile can hit are culled once per tile
MAX_RADIANCE = 6.0  # radiance of a sample is clamped to this before averaging, or edges of lamps would be aliased
# Minimum difference in brightness (sum of the square roots of R, G and B) between neighbouring pixels of one solid that
# triggers supersampling. It is needed for shadow edges: textures are filtered by pixel size, shadows are not.
EDGE_THRESHOLD = 0.5


@kernel
def window_light(rows: Array, i: int, point: Vector, spot: tuple[float, float], normal: Vector, pixel: float) -> Vector:
    """Return the radiance emitted by a facade's windows at night: some are lit, in warm and cool tones.

    Args:
        spot: Texture coordinates of the point in metres.
        pixel: Size of the pixel on the surface in metres.
    """
    if abs(normal[2]) > 0.5:
        return 0.0, 0.0, 0.0
    column, floor = math.floor(spot[0] / 1.7), math.floor(spot[1] / 2.6)
    if lattice_hash(column + 13.0 * math.floor(rows[i, FIRST] + rows[i, FIRST + 1]), floor + 5.0) < 0.62:
        return 0.0, 0.0, 0.0
    bright = rows[i, GLOW] * window(spot[0], spot[1], pixel) * (0.3 + 0.7 * lattice_hash(floor, column))
    cool = lattice_hash(column, floor + 77.0)
    return bright, bright * (0.62 + 0.25 * cool), bright * (0.25 + 0.5 * cool)


@kernel
def same_cluster(solids: Array, one: int, other: int) -> bool:
    """Return whether two solids belong to the same cluster of the same owner."""
    return bool(solids[one, OWNER] == solids[other, OWNER] and solids[one, CLUSTER] == solids[other, CLUSTER])


@kernel
def normal_at(solids: Array, hit: int, point: Vector) -> Vector:
    """Return the unit surface normal at a hit; for soft solids, blended with the neighbours in the cluster."""
    if solids[hit, SOFTNESS] == 0.0:
        return surface_normal(solids, hit, point)
    start, end = hit, hit + 1
    while start > 0 and same_cluster(solids, start - 1, hit):
        start -= 1
    while end < solids.shape[0] and same_cluster(solids, end, hit):
        end += 1
    return blended_normal(solids, start, end, hit, point)


@kernel
def trace_ray(
    near: Array,
    solids: Array,
    clusters: Array,
    spheres: Array,
    ground: Array,
    room: Array,
    lights: Array,
    environment: Array,
    candidates: Array,
    eye: Vector,
    ray: Vector,
    pixel: float,
    turn: float,
) -> tuple[Vector, int, float]:
    """Return the radiance of a ray, the index of the solid hit (or `NOTHING` or `GROUND`), and its distance in metres.

    Args:
        near: Rows of `clusters` that the ray may hit.
        candidates: Scratch buffer for the indices of occluding clusters, at least one element per cluster.
        eye: Origin of the ray.
        ray: Unit direction.
        pixel: Size of a pixel at a distance of 1.
        turn: Rotation of the shadow samples in turns, from 0 to 1.
    """
    distance, hit = first_hit(solids, near, eye, ray)
    if hit == NOTHING:
        return sky(environment, ray), hit, 1e9
    point = point_along(eye, ray, distance)
    normal, spot, owner = (0.0, 0.0, 1.0), (point[0], point[1]), 0.0
    colour, gloss, texture = triple(ground, 0), ground[3], int(ground[4])
    if hit >= 0:
        colour, gloss = vector(solids, hit, COLOUR), solids[hit, GLOSS]
        texture, owner = int(solids[hit, TEXTURE]), solids[hit, OWNER]
        if solids[hit, GLOW] > 0.0 and texture != WINDOWS:
            return scale(colour, solids[hit, GLOW]), hit, distance
        normal = normal_at(solids, hit, point)
        spot = texture_coordinates(solids, hit, point)
    footprint = distance * pixel / max(0.2, abs(dot(normal, ray)))
    tint = texture_tint(texture, spot[0], spot[1], footprint)
    colour = (colour[0] * tint[0], colour[1] * tint[1], colour[2] * tint[2])
    ambient = ambient_light(environment, room, spheres, point, normal, owner)
    light = (colour[0] * ambient[0], colour[1] * ambient[1], colour[2] * ambient[2])
    if hit >= 0 and texture == WINDOWS and solids[hit, GLOW] > 0.0:
        light = add(light, window_light(solids, hit, point, spot, normal, footprint))
    for k in range(lights.shape[0]):
        surface = (colour, gloss, texture, turn)
        light = add(light, direct_light(solids, clusters, candidates, lights, k, point, normal, ray, surface))
    haze = 1 - math.exp(-distance * environment[FOG_DENSITY])
    return lerp(light, triple(environment, FOG), haze), hit, distance


@kernel
def is_edge(light: Array, hit: npt.NDArray[np.int64], j: int, i: int) -> bool:
    """Return whether a pixel shows another solid than a neighbour, or differs from it by `EDGE_THRESHOLD`.

    `light` is float64 (rows, columns, 3), linear RGB; `hit` is int64 (rows, columns), the index of the solid.
    """
    own = math.sqrt(light[j, i, 0]) + math.sqrt(light[j, i, 1]) + math.sqrt(light[j, i, 2])
    for k in range(4):
        jj, ii = j + (k == 0) - (k == 1), i + (k == 2) - (k == 3)
        if jj < 0 or ii < 0 or jj >= light.shape[0] or ii >= light.shape[1]:
            continue
        other = math.sqrt(light[jj, ii, 0]) + math.sqrt(light[jj, ii, 1]) + math.sqrt(light[jj, ii, 2])
        if hit[jj, ii] != hit[j, i] or abs(other - own) > EDGE_THRESHOLD:
            return True
    return False


@lru_cache(maxsize=1)
def compiled_renderer() -> Callable[..., int]:
    """Return the compiled function that renders into `light`, `hit` and `depth`, and returns the sources' digest.

    `light` is float64 (height, width, 3) and must be zero, since samples are added to it; `hit` is int64 and `depth`
    float64 (height, width), the index of the solid and the distance in metres at the pixel's centre.
    """
    digest = sources_digest()

    @cached_kernel
    def render_pixels(
        solids: Any, clusters: Any, spheres: Any, ground: Any, room: Any, lights: Any, environment: Any,
        eye: Any, axes: Any, half_field: Any, fisheye: Any, light: Any, hit: Any, depth: Any,
    ) -> int:  # fmt: skip
        height, width = hit.shape
        tall, pixel = height / width, 2 * math.tan(min(half_field, 1.2)) / width
        candidates, near = np.zeros(clusters.shape[0] + 1), np.zeros((clusters.shape[0] + 1, clusters.shape[1]))
        first, box = np.zeros((height, width, 3)), np.zeros(4)
        for sampling in range(2):  # first pass: one sample per pixel; second pass: four more per edge pixel
            for upper in range(0, height, TILE):
                for left in range(0, width, TILE):
                    box[0], box[1] = left / width * 2 - 1, (left + TILE) / width * 2 - 1
                    box[2], box[3] = (1 - upper / height * 2) * tall, (1 - (upper + TILE) / height * 2) * tall
                    visible = near[: cull_clusters(clusters, eye, axes, half_field, fisheye, box, near)]
                    for j in range(upper, min(height, upper + TILE)):
                        for i in range(left, min(width, left + TILE)):
                            if sampling == 1 and not is_edge(first, hit, j, i):
                                for k in range(3):
                                    light[j, i, k] = first[j, i, k]
                                continue
                            for sample in range(1 if sampling == 0 else 4):
                                right = 0.5 if sampling == 0 else (0.125, 0.625, 0.375, 0.875)[sample]
                                down = 0.5 if sampling == 0 else (0.375, 0.125, 0.875, 0.625)[sample]
                                x, y = (i + right) / width * 2 - 1, (1 - (j + down) / height * 2) * tall
                                tone, solid, distance = trace_ray(
                                    visible, solids, clusters, spheres, ground, room, lights, environment, candidates,
                                    eye,
                                    ray_direction(axes, half_field, fisheye, x, y), pixel, gradient_noise(i, j, sample),
                                )  # fmt: skip
                                if sampling == 0:
                                    hit[j, i], depth[j, i] = solid, distance
                                for k in range(3):
                                    if sampling == 0:
                                        first[j, i, k] = min(MAX_RADIANCE, tone[k])
                                    else:
                                        light[j, i, k] += min(MAX_RADIANCE, tone[k])
                            if sampling == 1:
                                for k in range(3):
                                    light[j, i, k] = (light[j, i, k] + first[j, i, k]) / 5
        return digest

    return render_pixels
