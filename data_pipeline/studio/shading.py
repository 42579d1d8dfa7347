"""Shading: sky, direct light with soft shadows, ambient light and fog.

Columns of light rows (n, 13) and indices into the environment vector (25,) are defined by `lights.py`; `spheres` and
`room` are described in `stage.Built`. All arrays are float64; colours and radiance are linear RGB.
"""

from __future__ import annotations

import math

from data_pipeline.studio.camera import Array
from data_pipeline.studio.kernel import (
    Vector,
    add,
    clamp,
    cross,
    dot,
    kernel,
    length,
    normalized,
    perpendicular,
    point_along,
    scale,
    subtract,
)
from data_pipeline.studio.rays import NOTHING, candidate_occluders, find_occluder, intersect, triple, vector
from data_pipeline.studio.textures import CLOTH, HAIR, SKIN, fractal_noise, lattice_hash

ZENITH, HORIZON, CLOUDS, STARS, FOG, FOG_DENSITY, DISC, DISC_EDGE, DISC_TONE = 6, 9, 12, 13, 14, 17, 18, 21, 22
IS_LAMP, LIGHT_TONE, CONE_EDGE, AXIS, LIGHT_SIZE, SAMPLES = 3, 4, 7, 8, 11, 12
GOLDEN_ANGLE = 2.399963  # golden angle in radians, between successive samples of a disc
SHADOW_BIAS = 2e-3  # metres between a surface and the start of its shadow rays
WRAP = 0.16  # wrap lighting on skin


@kernel
def lerp(a: Vector, b: Vector, share: float) -> Vector:
    return add(scale(a, 1 - share), scale(b, share))


@kernel
def sky(environment: Array, ray: Vector) -> Vector:
    """Radiance of the sky in a direction."""
    up = max(ray[2], 0.0)
    light = lerp(triple(environment, HORIZON), triple(environment, ZENITH), up**0.55)
    if environment[STARS] > 0.0 and ray[2] > 0.03:
        column, row = math.floor(ray[0] / (ray[2] + 0.3) * 110), math.floor(ray[1] / (ray[2] + 0.3) * 110)
        if lattice_hash(column, row) > 0.9965:
            twinkle = environment[STARS] * (0.4 + 0.6 * lattice_hash(row, column))
            light = add(light, (twinkle, twinkle, twinkle))
    toward = dot(ray, triple(environment, DISC))
    if environment[DISC_EDGE] < 1.5:
        glow = max(0.0, toward) ** 220 * 0.25 + max(0.0, toward) ** 24 * 0.06
        disc = clamp((toward - environment[DISC_EDGE]) * 4000 + 0.5, 0.0, 1.0)
        light = add(light, scale(triple(environment, DISC_TONE), glow + disc))
    if environment[CLOUDS] > 0.0 and ray[2] > 0.0:
        x, y = ray[0] / (ray[2] + 0.12) * 2.2, ray[1] / (ray[2] + 0.12) * 2.2
        cover = clamp((0.5 + 0.6 * fractal_noise(x, y, 0.0) - 0.5) * 3, 0.0, 1.0) * environment[CLOUDS]
        light = lerp(light, scale(triple(environment, HORIZON), 1.22), cover)
    return light


@kernel
def ambient_occlusion(spheres: Array, point: Vector, normal: Vector, owner: float) -> float:
    """Return the share of ambient light, from 0 to 1, that nearby bodies do not block."""
    share = 1.0
    for k in range(spheres.shape[0]):
        to_sphere = subtract(vector(spheres, k, 0), point)
        distance, radius = length(to_sphere), spheres[k, 3]
        if distance > 5 * radius or (owner == spheres[k, 4] and distance < 1.6 * radius):
            continue
        toward = dot(to_sphere, normal) / max(distance, 1e-6)
        near = min(1.0, radius * radius / max(1e-6, distance * distance))
        share *= 1 - 0.75 * near * clamp(0.35 + 0.65 * toward, 0.0, 1.0)
    return share


@kernel
def corner_darkening(room: Array, point: Vector) -> float:
    """Return the factor, up to 1, by which ambient light is reduced near the walls of a room; 1 outdoors."""
    if room[3] <= 0.0:
        return 1.0
    gaps = (point[0] - room[0], room[1] - point[0], room[2] - point[1], point[2], room[3] - point[2])
    share = 1.25
    for gap in gaps:
        share *= 1 - 0.22 * math.exp(-max(0.0, gap) / 0.35)
    return min(1.0, share)


@kernel
def ambient_light(
    environment: Array, room: Array, spheres: Array, point: Vector, normal: Vector, owner: float
) -> Vector:
    light = lerp(triple(environment, 3), triple(environment, 0), 0.5 * normal[2] + 0.5)
    return scale(light, ambient_occlusion(spheres, point, normal, owner) * corner_darkening(room, point))


@kernel
def light_direction(lights: Array, k: int, point: Vector) -> tuple[Vector, float, float]:
    """Direction and distance to a light, and its unoccluded attenuation."""
    if lights[k, IS_LAMP] < 0.5:
        return vector(lights, k, 0), 1e9, 1.0
    way = subtract(vector(lights, k, 0), point)
    distance = length(way)
    way = scale(way, 1 / distance)
    attenuation = 1 / (0.15 + distance * distance)
    if lights[k, CONE_EDGE] > -1.0:
        edge = clamp((-dot(way, vector(lights, k, AXIS)) - lights[k, CONE_EDGE]) / 0.08, 0.0, 1.0)
        attenuation *= edge * edge * (3 - 2 * edge)
    return way, distance, attenuation


@kernel
def light_visibility(
    solids: Array,
    clusters: Array,
    candidates: Array,
    lights: Array,
    k: int,
    start: Vector,
    way: Vector,
    distance: float,
    turn: float,
) -> float:
    """Return the share of a light, from 0 to 1, that is visible from a point.

    The light's rim is sampled first; sampling stops early if all rays so far are blocked or all are not.
    """
    spread = lights[k, LIGHT_SIZE] / (distance if distance < 1e8 else 1.0)
    reach, samples = distance - 0.02, int(lights[k, SAMPLES])
    count = candidate_occluders(clusters, start, way, spread * 1.05, distance, candidates)
    if count == 0:
        return 1.0
    side = perpendicular(way)
    other, last, visible, used = cross(way, side), NOTHING, 0.0, 0
    agreeing = 3 if samples < 20 else 12  # large lights are partly visible from nearly everywhere
    for number in range(samples):
        if number == agreeing and (visible == 0.0 or visible == number):
            break
        used += 1
        ray = way
        if samples > 1:
            sample = samples - 1 - number
            angle, radius = turn * 6.2831853 + sample * GOLDEN_ANGLE, spread * math.sqrt((sample + 0.5) / samples)
            ray = normalized(
                point_along(point_along(way, side, radius * math.cos(angle)), other, radius * math.sin(angle))
            )
        if last >= 0 and 1e-3 < intersect(solids, last, start, ray) < reach:
            continue
        occluder = find_occluder(solids, clusters, candidates, count, start, ray, reach)
        if occluder >= 0:
            last = occluder
        else:
            visible += 1.0
    return visible / used


@kernel
def specular(normal: Vector, way: Vector, ray: Vector, gloss: float, texture: int) -> float:
    """Specular highlight, and the bright rim of skin, hair and cloth lit from behind."""
    half = normalized(subtract(way, ray))
    facing = max(0.0, -dot(normal, ray))
    spot = max(0.0, dot(normal, half)) ** (12.0 + 78.0 * gloss) * gloss * 1.2
    rim = 0.525 if texture in (SKIN, CLOTH, HAIR) else 0.04
    return float(spot + (1 - facing) ** 4 * max(0.0, dot(way, ray)) * rim)


@kernel
def direct_light(
    solids: Array,
    clusters: Array,
    candidates: Array,
    lights: Array,
    k: int,
    point: Vector,
    normal: Vector,
    ray: Vector,
    surface: tuple[Vector, float, int, float],
) -> Vector:
    """Contribution of one light to a surface (colour, gloss, texture, rotation of the shadow samples)."""
    colour, gloss, texture, turn = surface
    way, distance, attenuation = light_direction(lights, k, point)
    slant = dot(normal, way)
    wrap = WRAP if texture == SKIN else 0.0
    matt = max(0.0, (slant + wrap) / (1 + wrap))
    if matt * attenuation <= 0.001:
        return 0.0, 0.0, 0.0
    if lights[k, SAMPLES] > 0:
        start = point_along(point, normal, SHADOW_BIAS)
        attenuation *= light_visibility(solids, clusters, candidates, lights, k, start, way, distance, turn)
    bright = specular(normal, way, ray, gloss, texture) if slant > 0.0 else 0.0
    return (
        lights[k, LIGHT_TONE] * attenuation * (colour[0] * matt + bright),
        lights[k, LIGHT_TONE + 1] * attenuation * (colour[1] * matt + bright),
        lights[k, LIGHT_TONE + 2] * attenuation * (colour[2] * matt + bright),
    )
