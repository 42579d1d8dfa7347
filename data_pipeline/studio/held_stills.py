"""Stills in a film: each is shown for a second with handheld camera shake, so that no two frames are equal.

Owns the oversized rendering of a still, the moving crop window, and the ground truth within the window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np

from data_pipeline.studio.camera import Camera, Size
from data_pipeline.studio.clips import FRAME_RATE
from data_pipeline.studio.encoding import Picture
from data_pipeline.studio.films import PlannedShot
from data_pipeline.studio.render import Frame

HELD = 12  # frames per still
MIDDLE_FRAME = HELD // 2  # index of the middle frame, which `shotbench data films` extracts as the still
MARGIN = 1.05  # ratio of the rendered to the shown width, leaving a margin for the moving crop window


def size_with_margin(size: Size) -> Size:
    """Return the (width, height) at which a still of this size is rendered."""
    width, height = size
    return round(width * MARGIN / 2) * 2, round(height * MARGIN / 2) * 2


def camera_of_held(camera: Camera) -> Camera:
    """Return the camera that sees what the crop window shows of a still rendered with `camera`, without the shake."""
    return replace(camera, focal_length=camera.focal_length * MARGIN)


def held_still(large: Frame, plan: PlannedShot, numbers: Sequence[int] = range(HELD)) -> list[Frame]:
    """Return frames of a held still; the crop window moves by less than a hundredth of its width.

    Args:
        numbers: Which frames; those before 0 and from `HELD` on continue the movement of the window.
    """
    return [_cropped(large, corner, plan.size) for corner in _corners(large.size, plan, numbers)]


def _corners(large: Size, plan: PlannedShot, numbers: Sequence[int]) -> list[tuple[float, float]]:
    """Return left and top of the crop window per frame, in fractional pixels."""
    width, height = plan.size
    draw = Random(f"{plan.seed} {plan.shot_id} held")
    spare = ((large[0] - width) / 2, (large[1] - height) / 2)
    phases = [draw.uniform(0, math.tau) for _ in range(4)]
    corners = []
    for number in numbers:
        seconds = number / FRAME_RATE
        waves = [
            math.sin(math.tau * rate * seconds + phase)
            for rate, phase in zip((0.4, 0.5, 1.1, 1.3), phases, strict=True)
        ]
        left, top = (margin + 0.006 * width * (waves[k] + 0.5 * waves[k + 2]) for k, margin in enumerate(spare))
        corners.append((min(max(0.0, left), 2 * spare[0]), min(max(0.0, top), 2 * spare[1])))
    return corners


def _cropped(large: Frame, corner: tuple[float, float], size: Size) -> Frame:
    """Crop image and ground truth at a fractional corner: bicubic for RGB, nearest neighbour for ids and depth."""
    columns, rows = (
        np.floor(start + 0.5 + np.arange(side)).astype(int) for start, side in zip(corner, size, strict=True)
    )
    nearest = np.ix_(rows, columns)
    return Frame(_crop_image(large.rgb, corner, size), large.ids[nearest], large.depth[nearest])


def _crop_image(picture: Picture, corner: tuple[float, float], size: Size) -> Picture:
    from PIL import Image

    window = (1, 0, corner[0], 0, 1, corner[1])
    moved = Image.fromarray(picture).transform(size, Image.Transform.AFFINE, window, Image.Resampling.BICUBIC)
    return np.asarray(moved)
