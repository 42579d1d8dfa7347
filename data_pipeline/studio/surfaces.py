"""What a ray finds where it meets a solid: the way the surface faces, and the metres its pattern is measured in.

Solids of one figure that are soft melt into each other: near a seam the surface faces between both, so that a body of
balls and cones looks like one skin.
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

Spot = tuple[float, float]


@kernel
def height_on_cone(rows: Array, i: int, point: Vector) -> float:
    """How far from the first to the second ball, 0 to 1."""
    axis = minus(vector(rows, i, SECOND), vector(rows, i, FIRST))
    return within(dot(minus(point, vector(rows, i, FIRST)), axis) / max(1e-12, dot(axis, axis)), 0.0, 1.0)


@kernel
def off_cone(rows: Array, i: int, point: Vector) -> Vector:
    """From the axis of a round cone to a point."""
    axis = minus(vector(rows, i, SECOND), vector(rows, i, FIRST))
    return minus(point, along(vector(rows, i, FIRST), axis, height_on_cone(rows, i, point)))


@kernel
def off_ellipsoid(rows: Array, i: int, point: Vector) -> Vector:
    local = to_local(rows, i, minus(point, vector(rows, i, FIRST)))
    wide, deep, high = rows[i, SECOND], rows[i, SECOND + 1], rows[i, SECOND + 2]
    return to_stage(rows, i, (local[0] / (wide * wide), local[1] / (deep * deep), local[2] / (high * high)))


@kernel
def off_box(rows: Array, i: int, point: Vector) -> Vector:
    local = to_local(rows, i, minus(point, vector(rows, i, FIRST)))
    x, y, z = local[0] / rows[i, SECOND], local[1] / rows[i, SECOND + 1], local[2] / rows[i, SECOND + 2]
    if abs(x) >= abs(y) and abs(x) >= abs(z):
        return to_stage(rows, i, (math.copysign(1.0, x), 0.0, 0.0))
    if abs(y) >= abs(z):
        return to_stage(rows, i, (0.0, math.copysign(1.0, y), 0.0))
    return to_stage(rows, i, (0.0, 0.0, math.copysign(1.0, z)))


@kernel
def facing(rows: Array, i: int, point: Vector) -> Vector:
    """The way one solid's surface faces at a point on it."""
    if rows[i, KIND] == ROUND_CONE:
        return unit(off_cone(rows, i, point))
    if rows[i, KIND] == ELLIPSOID:
        return unit(off_ellipsoid(rows, i, point))
    return off_box(rows, i, point)


@kernel
def distance_to(rows: Array, i: int, point: Vector) -> float:
    """About how far a point outside a round solid is from its surface."""
    if rows[i, KIND] == ROUND_CONE:
        share = height_on_cone(rows, i, point)
        thick = rows[i, FIRST_RADIUS] * (1 - share) + rows[i, SECOND_RADIUS] * share
        return float(length(off_cone(rows, i, point)) - thick)
    local = to_local(rows, i, minus(point, vector(rows, i, FIRST)))
    scaled = (local[0] / rows[i, SECOND], local[1] / rows[i, SECOND + 1], local[2] / rows[i, SECOND + 2])
    steep = length((scaled[0] / rows[i, SECOND], scaled[1] / rows[i, SECOND + 1], scaled[2] / rows[i, SECOND + 2]))
    return float(length(scaled) * (length(scaled) - 1) / max(steep, 1e-9))


@kernel
def alike(rows: Array, one: int, other: int) -> bool:
    """Whether two soft solids are made of the same stuff."""
    return bool(
        rows[other, SOFTNESS] > 0.0
        and rows[one, TEXTURE] == rows[other, TEXTURE]
        and abs(rows[one, COLOUR] - rows[other, COLOUR]) < 0.03
        and abs(rows[one, COLOUR + 1] - rows[other, COLOUR + 1]) < 0.03
    )


@kernel
def melted(rows: Array, start: int, end: int, met: int, point: Vector) -> Vector:
    """The way the surface faces, with the soft neighbours of the solid taken in."""
    total = facing(rows, met, point)
    for i in range(start, end):
        if i == met or not alike(rows, met, i) or rows[i, KIND] == BOX:
            continue
        softness = max(rows[met, SOFTNESS], rows[i, SOFTNESS])
        if misses_point(rows, i, point, softness):
            continue
        near = distance_to(rows, i, point)
        if near < softness:
            share = 1 - max(0.0, near) / softness
            total = plus(total, times(facing(rows, i, point), share * share))
    return unit(total)


@kernel
def misses_point(rows: Array, i: int, point: Vector, reach: float) -> bool:
    off, radius = minus(point, vector(rows, i, BOUND)), rows[i, BOUND_RADIUS] + reach
    return bool(dot(off, off) > radius * radius)


@kernel
def spot_on(rows: Array, i: int, point: Vector) -> Spot:
    """Metres across and up a surface, for its pattern."""
    if rows[i, KIND] == BOX:
        return spot_on_box(rows, i, point)
    if rows[i, KIND] == ELLIPSOID:
        local = to_local(rows, i, minus(point, vector(rows, i, FIRST)))
        around = math.atan2(local[1] / rows[i, SECOND + 1], local[0] / rows[i, SECOND])
        return around * (rows[i, SECOND] + rows[i, SECOND + 1]) / 2 + i * 0.37, local[2]
    axis = minus(vector(rows, i, SECOND), vector(rows, i, FIRST))
    off, way = off_cone(rows, i, point), unit(axis)
    side = across(way)
    around = math.atan2(dot(off, cross(way, side)), dot(off, side))
    return around * max(rows[i, FIRST_RADIUS], rows[i, SECOND_RADIUS]) + i * 0.37, height_on_cone(
        rows, i, point
    ) * length(axis)


@kernel
def spot_on_box(rows: Array, i: int, point: Vector) -> Spot:
    local = to_local(rows, i, minus(point, vector(rows, i, FIRST)))
    x, y, z = abs(local[0] / rows[i, SECOND]), abs(local[1] / rows[i, SECOND + 1]), abs(local[2] / rows[i, SECOND + 2])
    if x >= y and x >= z:
        return local[1], local[2] + rows[i, SECOND + 2]
    if y >= z:
        return local[0], local[2] + rows[i, SECOND + 2]
    return local[0], local[1]
