"""How much light a ray brings back: the sky, surfaces under lamps with soft shadows, ambience and fog.

Columns of the light rows and places in the surroundings are those of `lights.py`.
"""

from __future__ import annotations

import math

from data_pipeline.studio.camera import Array
from data_pipeline.studio.kernel import (
    Vector,
    across,
    along,
    cross,
    dot,
    kernel,
    length,
    minus,
    plus,
    times,
    unit,
    within,
)
from data_pipeline.studio.rays import NOTHING, blocker, may_block, meet, triple, vector
from data_pipeline.studio.textures import CLOTH, HAIR, SKIN, chance, grain

ZENITH, HORIZON, CLOUDS, STARS, FOG, FOG_DENSITY, DISC, DISC_EDGE, DISC_TONE = 6, 9, 12, 13, 14, 17, 18, 21, 22
IS_LAMP, LIGHT_TONE, CONE_EDGE, AXIS, LIGHT_SIZE, SAMPLES = 3, 4, 7, 8, 11, 12
GOLDEN = 2.399963  # radians: turns successive samples of a disc evenly
FOOTHOLD = 2e-3  # metres a shadow ray starts above its surface
WRAP = 0.16  # light creeps a little around skin


@kernel
def mixed(a: Vector, b: Vector, share: float) -> Vector:
    return plus(times(a, 1 - share), times(b, share))


@kernel
def sky(surroundings: Array, ray: Vector) -> Vector:
    """The light of the sky in a direction."""
    up = max(ray[2], 0.0)
    light = mixed(triple(surroundings, HORIZON), triple(surroundings, ZENITH), up**0.55)
    if surroundings[STARS] > 0.0 and ray[2] > 0.03:
        column, row = math.floor(ray[0] / (ray[2] + 0.3) * 110), math.floor(ray[1] / (ray[2] + 0.3) * 110)
        if chance(column, row) > 0.9965:
            twinkle = surroundings[STARS] * (0.4 + 0.6 * chance(row, column))
            light = plus(light, (twinkle, twinkle, twinkle))
    toward = dot(ray, triple(surroundings, DISC))
    if surroundings[DISC_EDGE] < 1.5:
        glow = max(0.0, toward) ** 220 * 0.25 + max(0.0, toward) ** 24 * 0.06
        disc = within((toward - surroundings[DISC_EDGE]) * 4000 + 0.5, 0.0, 1.0)
        light = plus(light, times(triple(surroundings, DISC_TONE), glow + disc))
    if surroundings[CLOUDS] > 0.0 and ray[2] > 0.0:
        x, y = ray[0] / (ray[2] + 0.12) * 2.2, ray[1] / (ray[2] + 0.12) * 2.2
        cover = within((0.5 + 0.6 * grain(x, y, 0.0) - 0.5) * 3, 0.0, 1.0) * surroundings[CLOUDS]
        light = mixed(light, times(triple(surroundings, HORIZON), 1.22), cover)
    return light


@kernel
def open_to_sky(spheres: Array, point: Vector, normal: Vector, owner: float) -> float:
    """The share of ambient light that bodies near by leave: what makes feet stand on the ground."""
    share = 1.0
    for k in range(spheres.shape[0]):
        to_sphere = minus(vector(spheres, k, 0), point)
        distance, radius = length(to_sphere), spheres[k, 3]
        if distance > 5 * radius or (owner == spheres[k, 4] and distance < 1.6 * radius):
            continue
        toward = dot(to_sphere, normal) / max(distance, 1e-6)
        near = min(1.0, radius * radius / max(1e-6, distance * distance))
        share *= 1 - 0.75 * near * within(0.35 + 0.65 * toward, 0.0, 1.0)
    return share


@kernel
def corner_shade(room: Array, point: Vector) -> float:
    """Rooms are darker in their corners. A room is (left, right, back, height); no height, no room."""
    if room[3] <= 0.0:
        return 1.0
    gaps = (point[0] - room[0], room[1] - point[0], room[2] - point[1], point[2], room[3] - point[2])
    share = 1.25
    for gap in gaps:
        share *= 1 - 0.22 * math.exp(-max(0.0, gap) / 0.35)
    return min(1.0, share)


@kernel
def ambience(surroundings: Array, room: Array, spheres: Array, point: Vector, normal: Vector, owner: float) -> Vector:
    light = mixed(triple(surroundings, 3), triple(surroundings, 0), 0.5 * normal[2] + 0.5)
    return times(light, open_to_sky(spheres, point, normal, owner) * corner_shade(room, point))


@kernel
def toward_light(lights: Array, k: int, point: Vector) -> tuple[Vector, float, float]:
    """The direction to a light, its distance, and how much of its power arrives where nothing is in the way."""
    if lights[k, IS_LAMP] < 0.5:
        return vector(lights, k, 0), 1e9, 1.0
    way = minus(vector(lights, k, 0), point)
    distance = length(way)
    way = times(way, 1 / distance)
    arriving = 1 / (0.15 + distance * distance)
    if lights[k, CONE_EDGE] > -1.0:
        edge = within((-dot(way, vector(lights, k, AXIS)) - lights[k, CONE_EDGE]) / 0.08, 0.0, 1.0)
        arriving *= edge * edge * (3 - 2 * edge)
    return way, distance, arriving


@kernel
def visible_share(
    solids: Array,
    clusters: Array,
    found: Array,
    lights: Array,
    k: int,
    start: Vector,
    way: Vector,
    distance: float,
    turn: float,
) -> float:
    """How much of a light is seen from a point. Its rim is tried first; a few rays that agree are enough."""
    spread = lights[k, LIGHT_SIZE] / (distance if distance < 1e8 else 1.0)
    reach, samples = distance - 0.02, int(lights[k, SAMPLES])
    count = may_block(clusters, start, way, spread * 1.05, distance, found)
    if count == 0:
        return 1.0
    side = across(way)
    other, last, seen, used = cross(way, side), NOTHING, 0.0, 0
    alike = 3 if samples < 20 else 12  # wide lights are seen partly from nearly everywhere
    for number in range(samples):
        if number == alike and (seen == 0.0 or seen == number):
            break
        used += 1
        ray = way
        if samples > 1:
            sample = samples - 1 - number
            angle, radius = turn * 6.2831853 + sample * GOLDEN, spread * math.sqrt((sample + 0.5) / samples)
            ray = unit(along(along(way, side, radius * math.cos(angle)), other, radius * math.sin(angle)))
        if last >= 0 and 1e-3 < meet(solids, last, start, ray) < reach:
            continue
        block = blocker(solids, clusters, found, count, start, ray, reach)
        if block >= 0:
            last = block
        else:
            seen += 1.0
    return seen / used


@kernel
def shine(normal: Vector, way: Vector, ray: Vector, gloss: float, texture: int) -> float:
    """The mirror-like part of a surface's light, and the bright rim of skin, hair and cloth that is lit from behind."""
    half = unit(minus(way, ray))
    facing = max(0.0, -dot(normal, ray))
    spot = max(0.0, dot(normal, half)) ** (12.0 + 78.0 * gloss) * gloss * 1.2
    rim = 0.525 if texture in (SKIN, CLOTH, HAIR) else 0.04
    return float(spot + (1 - facing) ** 4 * max(0.0, dot(way, ray)) * rim)


@kernel
def lit(
    solids: Array,
    clusters: Array,
    found: Array,
    lights: Array,
    k: int,
    point: Vector,
    normal: Vector,
    ray: Vector,
    surface: tuple[Vector, float, int, float],
) -> Vector:
    """What one light adds to a surface of (colour, gloss, texture, turn of the shadow samples)."""
    colour, gloss, texture, turn = surface
    way, distance, arriving = toward_light(lights, k, point)
    slant = dot(normal, way)
    wrap = WRAP if texture == SKIN else 0.0
    matt = max(0.0, (slant + wrap) / (1 + wrap))
    if matt * arriving <= 0.001:
        return 0.0, 0.0, 0.0
    if lights[k, SAMPLES] > 0:
        start = along(point, normal, FOOTHOLD)
        arriving *= visible_share(solids, clusters, found, lights, k, start, way, distance, turn)
    bright = shine(normal, way, ray, gloss, texture) if slant > 0.0 else 0.0
    return (
        lights[k, LIGHT_TONE] * arriving * (colour[0] * matt + bright),
        lights[k, LIGHT_TONE + 1] * arriving * (colour[1] * matt + bright),
        lights[k, LIGHT_TONE + 2] * arriving * (colour[2] * matt + bright),
    )
