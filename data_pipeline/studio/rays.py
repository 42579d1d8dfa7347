"""Intersections of rays with solids: compiled functions on float64 rows of `solids.py`, (n, COLUMNS).

Rays have an origin in metres and a unit direction. Clusters are rows as returned by `solids.clustered`, (m, 7).

The round cone's formula is the one published by Inigo Quilez for the hull of two balls, reimplemented here.
"""

from __future__ import annotations

import math

from data_pipeline.studio.camera import Array
from data_pipeline.studio.kernel import Vector, dot, kernel, subtract
from data_pipeline.studio.solids import (
    BOUND,
    BOUND_RADIUS,
    CLUSTER_SHADOW,
    ELLIPSOID,
    FIRST,
    FIRST_RADIUS,
    KIND,
    ROTATION,
    ROUND_CONE,
    SECOND,
    SECOND_RADIUS,
    SHADOW,
)

MISS = -1.0
NOTHING, GROUND = -1, -2  # instead of the index of a solid


@kernel
def triple(values: Array, index: int) -> Vector:
    return values[index], values[index + 1], values[index + 2]


@kernel
def vector(rows: Array, i: int, column: int) -> Vector:
    """Return three consecutive columns of a row."""
    return rows[i, column], rows[i, column + 1], rows[i, column + 2]


@kernel
def to_local(rows: Array, i: int, a: Vector) -> Vector:
    """Transform a direction from stage to local coordinates of a rotated solid."""
    return (
        rows[i, ROTATION] * a[0] + rows[i, ROTATION + 3] * a[1] + rows[i, ROTATION + 6] * a[2],
        rows[i, ROTATION + 1] * a[0] + rows[i, ROTATION + 4] * a[1] + rows[i, ROTATION + 7] * a[2],
        rows[i, ROTATION + 2] * a[0] + rows[i, ROTATION + 5] * a[1] + rows[i, ROTATION + 8] * a[2],
    )


@kernel
def to_stage(rows: Array, i: int, a: Vector) -> Vector:
    """Transform a direction from local coordinates of a rotated solid to the stage."""
    return (
        rows[i, ROTATION] * a[0] + rows[i, ROTATION + 1] * a[1] + rows[i, ROTATION + 2] * a[2],
        rows[i, ROTATION + 3] * a[0] + rows[i, ROTATION + 4] * a[1] + rows[i, ROTATION + 5] * a[2],
        rows[i, ROTATION + 6] * a[0] + rows[i, ROTATION + 7] * a[1] + rows[i, ROTATION + 8] * a[2],
    )


@kernel
def intersect_cone(rows: Array, i: int, eye: Vector, ray: Vector) -> float:
    first, second = vector(rows, i, FIRST), vector(rows, i, SECOND)
    big, small = rows[i, FIRST_RADIUS], rows[i, SECOND_RADIUS]
    axis, from_first, from_second = subtract(second, first), subtract(eye, first), subtract(eye, second)
    narrowing = big - small
    axis2 = dot(axis, axis)
    axis_from, axis_ray = dot(axis, from_first), dot(axis, ray)
    ray_first, first2 = dot(ray, from_first), dot(from_first, from_first)
    slant = axis2 - narrowing * narrowing
    k2 = slant - axis_ray * axis_ray
    k1 = slant * ray_first - axis_from * axis_ray + axis_ray * narrowing * big
    k0 = slant * first2 - axis_from * axis_from + axis_from * narrowing * big * 2.0 - axis2 * big * big
    inside = k1 * k1 - k0 * k2
    if inside < 0.0:
        return MISS
    if abs(k2) > 1e-12:
        distance = (-math.sqrt(inside) - k1) / k2
        height = axis_from - big * narrowing + distance * axis_ray
        if 0.0 < height < slant:
            return float(distance)
    nearest = 1e20
    first_ball = ray_first * ray_first - first2 + big * big
    ray_second = dot(ray, from_second)
    second_ball = ray_second * ray_second - dot(from_second, from_second) + small * small
    if first_ball > 0.0:
        nearest = -ray_first - math.sqrt(first_ball)
    if second_ball > 0.0:
        nearest = min(nearest, -ray_second - math.sqrt(second_ball))
    return nearest if nearest < 1e19 else MISS


@kernel
def intersect_ellipsoid(rows: Array, i: int, eye: Vector, ray: Vector) -> float:
    radii = vector(rows, i, SECOND)
    origin = to_local(rows, i, subtract(eye, vector(rows, i, FIRST)))
    direction = to_local(rows, i, ray)
    origin = (origin[0] / radii[0], origin[1] / radii[1], origin[2] / radii[2])
    direction = (direction[0] / radii[0], direction[1] / radii[1], direction[2] / radii[2])
    a, b = dot(direction, direction), dot(origin, direction)
    inside = b * b - a * (dot(origin, origin) - 1.0)
    return (-b - math.sqrt(inside)) / a if inside >= 0.0 else MISS


@kernel
def slab(origin: float, direction: float, half: float) -> tuple[float, float]:
    """Return the distances at which a ray enters and leaves the slab between two faces of a box."""
    if abs(direction) < 1e-12:
        direction = 1e-12
    middle, reach = -origin / direction, abs(half / direction)
    return middle - reach, middle + reach


@kernel
def intersect_box(rows: Array, i: int, eye: Vector, ray: Vector) -> float:
    origin = to_local(rows, i, subtract(eye, vector(rows, i, FIRST)))
    direction = to_local(rows, i, ray)
    x, y = slab(origin[0], direction[0], rows[i, SECOND]), slab(origin[1], direction[1], rows[i, SECOND + 1])
    z = slab(origin[2], direction[2], rows[i, SECOND + 2])
    enter, leave = max(x[0], y[0], z[0]), min(x[1], y[1], z[1])
    return float(enter) if 0.0 < enter <= leave else MISS


@kernel
def intersect(rows: Array, i: int, eye: Vector, ray: Vector) -> float:
    """Return the distance at which a ray hits a solid, or a negative number."""
    if rows[i, KIND] == ROUND_CONE:
        return intersect_cone(rows, i, eye, ray)
    if rows[i, KIND] == ELLIPSOID:
        return intersect_ellipsoid(rows, i, eye, ray)
    return intersect_box(rows, i, eye, ray)


@kernel
def misses_ball(centre: Vector, radius: float, eye: Vector, ray: Vector) -> bool:
    to_centre = subtract(centre, eye)
    ahead = dot(to_centre, ray)
    return bool(dot(to_centre, to_centre) - ahead * ahead > radius * radius)


@kernel
def first_hit(solids: Array, clusters: Array, eye: Vector, ray: Vector) -> tuple[float, int]:
    """Return the distance in metres and the solid's index of the nearest hit, or `GROUND`, or `NOTHING` at 1e9."""
    best, hit = 1e9, NOTHING
    for c in range(clusters.shape[0]):
        to_centre = subtract(vector(clusters, c, 0), eye)
        ahead, radius = dot(to_centre, ray), clusters[c, 3]
        if ahead < -radius or ahead - radius > best or dot(to_centre, to_centre) - ahead * ahead > radius * radius:
            continue
        start, end = int(clusters[c, 4]), int(clusters[c, 5])
        for i in range(start, end):
            if end - start > 1 and misses_ball(vector(solids, i, BOUND), solids[i, BOUND_RADIUS], eye, ray):
                continue
            distance = intersect(solids, i, eye, ray)
            if 1e-4 < distance < best:
                best, hit = distance, i
    if ray[2] < 0.0 and -eye[2] / ray[2] < best:
        best, hit = -eye[2] / ray[2], GROUND
    return best, hit


@kernel
def candidate_occluders(
    clusters: Array, point: Vector, ray: Vector, spread: float, reach: float, candidates: Array
) -> int:
    """Find the clusters that may block the light between a point and a lamp; returns their number, mostly 0.

    Args:
        ray: Unit direction to the centre of the light.
        spread: Tangent of the light's angular radius.
        reach: Distance to the light.
        candidates: Output buffer for the indices of the clusters.
    """
    count = 0
    for c in range(clusters.shape[0]):
        if clusters[c, CLUSTER_SHADOW] == 0.0:
            continue
        to_centre = subtract(vector(clusters, c, 0), point)
        ahead, radius = dot(to_centre, ray), clusters[c, 3]
        if ahead < -radius or ahead - radius > reach:
            continue
        limit = radius + spread * max(0.0, ahead + radius)
        if dot(to_centre, to_centre) - ahead * ahead <= limit * limit:
            candidates[count] = c
            count += 1
    return count


@kernel
def find_occluder(
    solids: Array, clusters: Array, candidates: Array, count: int, eye: Vector, ray: Vector, reach: float
) -> int:
    """Return a solid of the candidate clusters between a point and a light, or `NOTHING`."""
    for k in range(count):
        c = int(candidates[k])
        if misses_ball(vector(clusters, c, 0), clusters[c, 3], eye, ray):
            continue
        start, end = int(clusters[c, 4]), int(clusters[c, 5])
        for i in range(start, end):
            if end - start > 1 and misses_ball(vector(solids, i, BOUND), solids[i, BOUND_RADIUS], eye, ray):
                continue
            if solids[i, SHADOW] > 0.0 and 1e-3 < intersect(solids, i, eye, ray) < reach:
                return i
    return NOTHING
