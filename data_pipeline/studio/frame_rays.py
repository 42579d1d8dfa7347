"""The rays of a frame: through which spot each goes, and which solids the rays of a tile may meet at all."""

from __future__ import annotations

import math

from data_pipeline.studio.camera import Array
from data_pipeline.studio.kernel import Vector, dot, kernel, minus, plus, times, unit
from data_pipeline.studio.rays import vector


@kernel
def ray_through(axes: Array, half_field: float, fisheye: bool, x: float, y: float) -> Vector:
    """The ray through a spot of the frame: x from -1 to 1, y in the same unit, upwards."""
    if fisheye:
        radius = math.sqrt(x * x + y * y)
        spread = math.sin(radius * half_field) / max(radius, 1e-9)
        right, up, ahead = x * spread, y * spread, math.cos(radius * half_field)
    else:
        reach = math.tan(half_field)
        right, up, ahead = x * reach, y * reach, 1.0
    return unit(
        plus(plus(times(vector(axes, 0, 0), right), times(vector(axes, 1, 0), up)), times(vector(axes, 2, 0), ahead))
    )


@kernel
def scatter(column: int, row: int, sample: int) -> float:
    """A well spread number for every pixel: interleaved gradient noise, after Jorge Jimenez."""
    value = 0.0671106 * column + 0.00583715 * row + 0.25 * sample
    value = 52.98292 * (value - math.floor(value))
    return value - math.floor(value)


@kernel
def near_tile(
    clusters: Array, eye: Vector, axes: Array, half_field: float, fisheye: bool, box: Array, kept: Array
) -> int:
    """Copy the clusters that the rays of a tile may meet; the tile is (left, right, upper, lower) in the frame."""
    middle = ray_through(axes, half_field, fisheye, (box[0] + box[1]) / 2, (box[2] + box[3]) / 2)
    narrow = 1.0
    for k in range(9):
        x, y = box[0] + (box[1] - box[0]) * (k % 3) / 2, box[2] + (box[3] - box[2]) * (k // 3) / 2
        narrow = min(narrow, dot(middle, ray_through(axes, half_field, fisheye, x, y)))
    angle = math.acos(min(1.0, max(-1.0, narrow))) * 1.1 + 0.01
    count = 0
    for c in range(clusters.shape[0]):
        to_centre = minus(vector(clusters, c, 0), eye)
        distance, radius = math.sqrt(dot(to_centre, to_centre)), clusters[c, 3]
        if distance > radius * 1.001:
            off = math.acos(min(1.0, max(-1.0, dot(to_centre, middle) / distance)))
            if off >= angle + math.asin(radius / distance):
                continue
        for k in range(clusters.shape[1]):
            kept[count, k] = clusters[c, k]
        count += 1
    return count
