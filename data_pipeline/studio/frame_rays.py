"""Camera rays: the direction through each point of the frame, and culling of clusters per tile."""

from __future__ import annotations

import math

from data_pipeline.studio.camera import Array
from data_pipeline.studio.kernel import Vector, add, dot, kernel, normalized, scale, subtract
from data_pipeline.studio.rays import vector


@kernel
def ray_direction(axes: Array, half_field: float, fisheye: bool, x: float, y: float) -> Vector:
    """Return the unit direction of the ray through a point of the frame.

    Args:
        axes: Right, up and forward as rows, float64 (3, 3).
        half_field: Half the horizontal field of view in radians.
        x: From -1 (left edge) to 1 (right edge).
        y: Upwards from the centre, in the unit of x: half the width of the frame.
    """
    if fisheye:
        radius = math.sqrt(x * x + y * y)
        spread = math.sin(radius * half_field) / max(radius, 1e-9)
        right, up, ahead = x * spread, y * spread, math.cos(radius * half_field)
    else:
        reach = math.tan(half_field)
        right, up, ahead = x * reach, y * reach, 1.0
    return normalized(
        add(add(scale(vector(axes, 0, 0), right), scale(vector(axes, 1, 0), up)), scale(vector(axes, 2, 0), ahead))
    )


@kernel
def gradient_noise(column: int, row: int, sample: int) -> float:
    """Interleaved gradient noise in [0, 1) per pixel and sample, after Jorge Jimenez."""
    value = 0.0671106 * column + 0.00583715 * row + 0.25 * sample
    value = 52.98292 * (value - math.floor(value))
    return value - math.floor(value)


@kernel
def cull_clusters(
    clusters: Array, eye: Vector, axes: Array, half_field: float, fisheye: bool, box: Array, kept: Array
) -> int:
    """Copy the clusters that rays of a tile may hit to the first rows of `kept`, and return their number.

    Args:
        clusters: Float64 (m, 7), see `solids.clustered`.
        box: Left, right, upper and lower edge of the tile, in the coordinates of `ray_direction`.
        kept: Output buffer, at least (m, 7).
    """
    middle = ray_direction(axes, half_field, fisheye, (box[0] + box[1]) / 2, (box[2] + box[3]) / 2)
    narrow = 1.0
    for k in range(9):
        x, y = box[0] + (box[1] - box[0]) * (k % 3) / 2, box[2] + (box[3] - box[2]) * (k // 3) / 2
        narrow = min(narrow, dot(middle, ray_direction(axes, half_field, fisheye, x, y)))
    angle = math.acos(min(1.0, max(-1.0, narrow))) * 1.1 + 0.01
    count = 0
    for c in range(clusters.shape[0]):
        to_centre = subtract(vector(clusters, c, 0), eye)
        distance, radius = math.sqrt(dot(to_centre, to_centre)), clusters[c, 3]
        if distance > radius * 1.001:
            off = math.acos(min(1.0, max(-1.0, dot(to_centre, middle) / distance)))
            if off >= angle + math.asin(radius / distance):
                continue
        for k in range(clusters.shape[1]):
            kept[count, k] = clusters[c, k]
        count += 1
    return count
