"""Surface normals and texture coordinates at the hit of a ray.

Soft solids of one figure are blended: near a seam the normals of both are interpolated, so that a body of balls and
cones looks like one surface.
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
from data_pipeline.studio.rays import to_local, to_stage, vector
from data_pipeline.studio.solids import (
    BOUND,
    BOUND_RADIUS,
    BOX,
    COLOUR,
    ELLIPSOID,
    FIRST,
    FIRST_RADIUS,
    KIND,
    ROUND_CONE,
    SECOND,
    SECOND_RADIUS,
    SOFTNESS,
    TEXTURE,
)

TextureCoordinates = tuple[float, float]


@kernel
def height_on_cone(rows: Array, i: int, point: Vector) -> float:
    """Return the relative position along a round cone's axis, from 0 (first ball) to 1 (second ball)."""
    axis = subtract(vector(rows, i, SECOND), vector(rows, i, FIRST))
    return clamp(dot(subtract(point, vector(rows, i, FIRST)), axis) / max(1e-12, dot(axis, axis)), 0.0, 1.0)


@kernel
def from_cone_axis(rows: Array, i: int, point: Vector) -> Vector:
    """Return the vector from the axis of a round cone to a point."""
    axis = subtract(vector(rows, i, SECOND), vector(rows, i, FIRST))
    return subtract(point, point_along(vector(rows, i, FIRST), axis, height_on_cone(rows, i, point)))


@kernel
def ellipsoid_gradient(rows: Array, i: int, point: Vector) -> Vector:
    local = to_local(rows, i, subtract(point, vector(rows, i, FIRST)))
    wide, deep, high = rows[i, SECOND], rows[i, SECOND + 1], rows[i, SECOND + 2]
    return to_stage(rows, i, (local[0] / (wide * wide), local[1] / (deep * deep), local[2] / (high * high)))


@kernel
def box_normal(rows: Array, i: int, point: Vector) -> Vector:
    local = to_local(rows, i, subtract(point, vector(rows, i, FIRST)))
    x, y, z = local[0] / rows[i, SECOND], local[1] / rows[i, SECOND + 1], local[2] / rows[i, SECOND + 2]
    if abs(x) >= abs(y) and abs(x) >= abs(z):
        return to_stage(rows, i, (math.copysign(1.0, x), 0.0, 0.0))
    if abs(y) >= abs(z):
        return to_stage(rows, i, (0.0, math.copysign(1.0, y), 0.0))
    return to_stage(rows, i, (0.0, 0.0, math.copysign(1.0, z)))


@kernel
def surface_normal(rows: Array, i: int, point: Vector) -> Vector:
    """Return the unit normal of a solid at a point on its surface."""
    if rows[i, KIND] == ROUND_CONE:
        return normalized(from_cone_axis(rows, i, point))
    if rows[i, KIND] == ELLIPSOID:
        return normalized(ellipsoid_gradient(rows, i, point))
    return box_normal(rows, i, point)


@kernel
def distance_to(rows: Array, i: int, point: Vector) -> float:
    """Return the approximate distance in metres from a point to the surface of a round solid."""
    if rows[i, KIND] == ROUND_CONE:
        share = height_on_cone(rows, i, point)
        thick = rows[i, FIRST_RADIUS] * (1 - share) + rows[i, SECOND_RADIUS] * share
        return float(length(from_cone_axis(rows, i, point)) - thick)
    local = to_local(rows, i, subtract(point, vector(rows, i, FIRST)))
    scaled = (local[0] / rows[i, SECOND], local[1] / rows[i, SECOND + 1], local[2] / rows[i, SECOND + 2])
    steep = length((scaled[0] / rows[i, SECOND], scaled[1] / rows[i, SECOND + 1], scaled[2] / rows[i, SECOND + 2]))
    return float(length(scaled) * (length(scaled) - 1) / max(steep, 1e-9))


@kernel
def same_material(rows: Array, one: int, other: int) -> bool:
    """Whether two soft solids have the same material."""
    return bool(
        rows[other, SOFTNESS] > 0.0
        and rows[one, TEXTURE] == rows[other, TEXTURE]
        and abs(rows[one, COLOUR] - rows[other, COLOUR]) < 0.03
        and abs(rows[one, COLOUR + 1] - rows[other, COLOUR + 1]) < 0.03
    )


@kernel
def blended_normal(rows: Array, start: int, end: int, hit: int, point: Vector) -> Vector:
    """Return the unit normal of a solid, blended with its soft neighbours."""
    total = surface_normal(rows, hit, point)
    for i in range(start, end):
        if i == hit or not same_material(rows, hit, i) or rows[i, KIND] == BOX:
            continue
        softness = max(rows[hit, SOFTNESS], rows[i, SOFTNESS])
        if misses_point(rows, i, point, softness):
            continue
        near = distance_to(rows, i, point)
        if near < softness:
            share = 1 - max(0.0, near) / softness
            total = add(total, scale(surface_normal(rows, i, point), share * share))
    return normalized(total)


@kernel
def misses_point(rows: Array, i: int, point: Vector, reach: float) -> bool:
    off, radius = subtract(point, vector(rows, i, BOUND)), rows[i, BOUND_RADIUS] + reach
    return bool(dot(off, off) > radius * radius)


@kernel
def texture_coordinates(rows: Array, i: int, point: Vector) -> TextureCoordinates:
    """Return texture coordinates (across, up) on a surface in metres."""
    if rows[i, KIND] == BOX:
        return box_texture_coordinates(rows, i, point)
    if rows[i, KIND] == ELLIPSOID:
        local = to_local(rows, i, subtract(point, vector(rows, i, FIRST)))
        around = math.atan2(local[1] / rows[i, SECOND + 1], local[0] / rows[i, SECOND])
        return around * (rows[i, SECOND] + rows[i, SECOND + 1]) / 2 + i * 0.37, local[2]
    axis = subtract(vector(rows, i, SECOND), vector(rows, i, FIRST))
    off, way = from_cone_axis(rows, i, point), normalized(axis)
    side = perpendicular(way)
    around = math.atan2(dot(off, cross(way, side)), dot(off, side))
    return around * max(rows[i, FIRST_RADIUS], rows[i, SECOND_RADIUS]) + i * 0.37, height_on_cone(
        rows, i, point
    ) * length(axis)


@kernel
def box_texture_coordinates(rows: Array, i: int, point: Vector) -> TextureCoordinates:
    local = to_local(rows, i, subtract(point, vector(rows, i, FIRST)))
    x, y, z = abs(local[0] / rows[i, SECOND]), abs(local[1] / rows[i, SECOND + 1]), abs(local[2] / rows[i, SECOND + 2])
    if x >= y and x >= z:
        return local[1], local[2] + rows[i, SECOND + 2]
    if y >= z:
        return local[0], local[2] + rows[i, SECOND + 2]
    return local[0], local[1]
