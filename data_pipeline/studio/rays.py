"""Where rays meet solids: compiled functions on the rows of `solids.py`.

The round cone's formula is the one published by Inigo Quilez for the hull of two balls, written out anew.
"""

from __future__ import annotations

import math

from data_pipeline.studio.camera import Array
from data_pipeline.studio.kernel import Vector, dot, kernel, minus
from data_pipeline.studio.solids import (
    BOUND,
    BOUND_RADIUS,
    CLUSTER_SHADOW,
    ELLIPSOID,
    FIRST,
    FIRST_RADIUS,
    KIND,
    ROUND_CONE,
    SECOND,
    SECOND_RADIUS,
    SHADOW,
    TURN,
)

MISS = -1.0
NOTHING, GROUND = -1, -2  # in place of a solid's number


@kernel
def triple(values: Array, place: int) -> Vector:
    return values[place], values[place + 1], values[place + 2]


@kernel
def vector(rows: Array, i: int, column: int) -> Vector:
    """Three columns of a row."""
    return rows[i, column], rows[i, column + 1], rows[i, column + 2]


@kernel
def to_local(rows: Array, i: int, a: Vector) -> Vector:
    """A direction as a turned solid sees it."""
    return (
        rows[i, TURN] * a[0] + rows[i, TURN + 3] * a[1] + rows[i, TURN + 6] * a[2],
        rows[i, TURN + 1] * a[0] + rows[i, TURN + 4] * a[1] + rows[i, TURN + 7] * a[2],
        rows[i, TURN + 2] * a[0] + rows[i, TURN + 5] * a[1] + rows[i, TURN + 8] * a[2],
    )


@kernel
def to_stage(rows: Array, i: int, a: Vector) -> Vector:
    """A turned solid's direction on the stage."""
    return (
        rows[i, TURN] * a[0] + rows[i, TURN + 1] * a[1] + rows[i, TURN + 2] * a[2],
        rows[i, TURN + 3] * a[0] + rows[i, TURN + 4] * a[1] + rows[i, TURN + 5] * a[2],
        rows[i, TURN + 6] * a[0] + rows[i, TURN + 7] * a[1] + rows[i, TURN + 8] * a[2],
    )


@kernel
def meet_cone(rows: Array, i: int, eye: Vector, ray: Vector) -> float:
    first, second = vector(rows, i, FIRST), vector(rows, i, SECOND)
    big, small = rows[i, FIRST_RADIUS], rows[i, SECOND_RADIUS]
    axis, from_first, from_second = minus(second, first), minus(eye, first), minus(eye, second)
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
def meet_ellipsoid(rows: Array, i: int, eye: Vector, ray: Vector) -> float:
    radii = vector(rows, i, SECOND)
    near = to_local(rows, i, minus(eye, vector(rows, i, FIRST)))
    way = to_local(rows, i, ray)
    near = (near[0] / radii[0], near[1] / radii[1], near[2] / radii[2])
    way = (way[0] / radii[0], way[1] / radii[1], way[2] / radii[2])
    a, b = dot(way, way), dot(near, way)
    inside = b * b - a * (dot(near, near) - 1.0)
    return (-b - math.sqrt(inside)) / a if inside >= 0.0 else MISS


@kernel
def slab(near: float, way: float, half: float) -> tuple[float, float]:
    """When a ray enters and leaves the space between two faces of a box."""
    if abs(way) < 1e-12:
        way = 1e-12
    middle, reach = -near / way, abs(half / way)
    return middle - reach, middle + reach


@kernel
def meet_box(rows: Array, i: int, eye: Vector, ray: Vector) -> float:
    near = to_local(rows, i, minus(eye, vector(rows, i, FIRST)))
    way = to_local(rows, i, ray)
    x, y = slab(near[0], way[0], rows[i, SECOND]), slab(near[1], way[1], rows[i, SECOND + 1])
    z = slab(near[2], way[2], rows[i, SECOND + 2])
    enter, leave = max(x[0], y[0], z[0]), min(x[1], y[1], z[1])
    return float(enter) if 0.0 < enter <= leave else MISS


@kernel
def meet(rows: Array, i: int, eye: Vector, ray: Vector) -> float:
    """How far away a ray meets a solid, or less than nothing."""
    if rows[i, KIND] == ROUND_CONE:
        return meet_cone(rows, i, eye, ray)
    if rows[i, KIND] == ELLIPSOID:
        return meet_ellipsoid(rows, i, eye, ray)
    return meet_box(rows, i, eye, ray)


@kernel
def misses_ball(centre: Vector, radius: float, eye: Vector, ray: Vector) -> bool:
    to_centre = minus(centre, eye)
    ahead = dot(to_centre, ray)
    return bool(dot(to_centre, to_centre) - ahead * ahead > radius * radius)


@kernel
def first_met(solids: Array, clusters: Array, eye: Vector, ray: Vector) -> tuple[float, int]:
    """The nearest solid on a ray and its distance; the ground if no solid is nearer, or nothing."""
    best, found = 1e9, NOTHING
    for c in range(clusters.shape[0]):
        to_centre = minus(vector(clusters, c, 0), eye)
        ahead, radius = dot(to_centre, ray), clusters[c, 3]
        if ahead < -radius or ahead - radius > best or dot(to_centre, to_centre) - ahead * ahead > radius * radius:
            continue
        start, end = int(clusters[c, 4]), int(clusters[c, 5])
        for i in range(start, end):
            if end - start > 1 and misses_ball(vector(solids, i, BOUND), solids[i, BOUND_RADIUS], eye, ray):
                continue
            distance = meet(solids, i, eye, ray)
            if 1e-4 < distance < best:
                best, found = distance, i
    if ray[2] < 0.0 and -eye[2] / ray[2] < best:
        best, found = -eye[2] / ray[2], GROUND
    return best, found


@kernel
def may_block(clusters: Array, point: Vector, ray: Vector, spread: float, reach: float, found: Array) -> int:
    """Clusters that touch the cone from a point to a light; mostly none, and then no ray is cast at all."""
    count = 0
    for c in range(clusters.shape[0]):
        if clusters[c, CLUSTER_SHADOW] == 0.0:
            continue
        to_centre = minus(vector(clusters, c, 0), point)
        ahead, radius = dot(to_centre, ray), clusters[c, 3]
        if ahead < -radius or ahead - radius > reach:
            continue
        wide = radius + spread * max(0.0, ahead + radius)
        if dot(to_centre, to_centre) - ahead * ahead <= wide * wide:
            found[count] = c
            count += 1
    return count


@kernel
def blocker(solids: Array, clusters: Array, found: Array, count: int, eye: Vector, ray: Vector, reach: float) -> int:
    """Some solid between a point and a light, of the clusters found before, or `NOTHING`."""
    for k in range(count):
        c = int(found[k])
        if misses_ball(vector(clusters, c, 0), clusters[c, 3], eye, ray):
            continue
        start, end = int(clusters[c, 4]), int(clusters[c, 5])
        for i in range(start, end):
            if end - start > 1 and misses_ball(vector(solids, i, BOUND), solids[i, BOUND_RADIUS], eye, ray):
                continue
            if solids[i, SHADOW] > 0.0 and 1e-3 < meet(solids, i, eye, ray) < reach:
                return i
    return NOTHING
