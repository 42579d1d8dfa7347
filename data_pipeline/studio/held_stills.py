"""Stills in a film: each is held for a second by a hand that trembles, so that no frame repeats another.

Owns how large a still is filmed, where the frame wanders over it, and the truth about what the frame shows then.
"""

from __future__ import annotations

import math
from random import Random

import numpy as np

from data_pipeline.studio.camera import Size
from data_pipeline.studio.clips import FRAME_RATE
from data_pipeline.studio.encoding import Picture
from data_pipeline.studio.films import PlannedShot
from data_pipeline.studio.render import Frame

HELD = 12  # frames of a still
SHOWN = HELD // 2  # of them the one in the middle of its time, which `shotbench data films` cuts out as the still
ROOM = 1.05  # how much wider a still is filmed than shown, so that the trembling frame has room


def roomy(size: Size) -> Size:
    """The size in which a still is filmed that is to be shown in this one."""
    width, height = size
    return round(width * ROOM / 2) * 2, round(height * ROOM / 2) * 2


def held_still(large: Frame, plan: PlannedShot) -> list[Frame]:
    """A still for a second, the frame wandering over it by less than a hundredth of its width."""
    return [_seen_through(large, corner, plan.size) for corner in _corners(large.size, plan)]


def _corners(large: Size, plan: PlannedShot) -> list[tuple[float, float]]:
    """Left and top of what is shown, frame by frame, in fractions of pixels."""
    width, height = plan.size
    draw = Random(f"{plan.seed} {plan.shot_id} held")
    spare = ((large[0] - width) / 2, (large[1] - height) / 2)
    phases = [draw.uniform(0, math.tau) for _ in range(4)]
    corners = []
    for number in range(HELD):
        seconds = number / FRAME_RATE
        waves = [
            math.sin(math.tau * rate * seconds + phase)
            for rate, phase in zip((0.4, 0.5, 1.1, 1.3), phases, strict=True)
        ]
        left, top = (room + 0.006 * width * (waves[k] + 0.5 * waves[k + 2]) for k, room in enumerate(spare))
        corners.append((min(max(0.0, left), 2 * spare[0]), min(max(0.0, top), 2 * spare[1])))
    return corners


def _seen_through(large: Frame, corner: tuple[float, float], size: Size) -> Frame:
    """Picture and truth from a corner on. Whose a pixel is has no fractions: of ids and depth the nearest is taken."""
    columns, rows = (
        np.floor(start + 0.5 + np.arange(side)).astype(int) for start, side in zip(corner, size, strict=True)
    )
    nearest = np.ix_(rows, columns)
    return Frame(_moved(large.rgb, corner, size), large.ids[nearest], large.depth[nearest])


def _moved(picture: Picture, corner: tuple[float, float], size: Size) -> Picture:
    from PIL import Image

    window = (1, 0, corner[0], 0, 1, corner[1])
    moved = Image.fromarray(picture).transform(size, Image.Transform.AFFINE, window, Image.Resampling.BICUBIC)
    return np.asarray(moved)
