"""The result of a recipe (stage and camera), and positioning a camera by the required framing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from data_pipeline.studio.camera import Camera, Point, distance_for, looking_at
from data_pipeline.studio.figures import Figure
from data_pipeline.studio.lights import around
from data_pipeline.studio.stage import Stage
from data_pipeline.studio.take import Take

HEADROOM = 0.08  # metres above the tallest head
LOWEST_EYE = 0.14  # metres; the camera stays above the ground


@dataclass(frozen=True, eq=False)
class Staging:
    """One staged still, ready to be rendered. `also` has labels of other dimensions that are certain."""

    stage: Stage
    camera: Camera
    also: dict[str, str] = field(default_factory=dict)


Recipe = Callable[[Take], Staging]


def camera_on(
    target: Point,
    frame_height: float,
    focal_length: float,
    *,
    azimuth: float = 0.0,
    elevation: float = 0.0,
    shift: float = 0.0,
    roll: float = 0.0,
    f_number: float | None = None,
) -> Camera:
    """Return a camera whose frame is `frame_height` metres high at the target.

    Args:
        shift: Offset of the target to the right, as a share of the frame's width.
        f_number: Aperture, with the focus on the target; None: everything is in focus.
    """
    away = distance_for(frame_height, focal_length)
    x, y, z = around(azimuth, elevation, away, target)
    camera = looking_at((x, y, max(z, LOWEST_EYE)), target, focal_length, roll=roll)
    turn = math.degrees(math.atan(2 * shift * math.tan(camera.half_field)))
    camera = replace(camera, yaw=camera.yaw - turn)
    return camera if f_number is None else replace(camera, focus=away, f_number=f_number)


def below_headroom(figures: Sequence[Figure], frame_height: float) -> float:
    """Return the height in metres of a level frame's centre that leaves headroom above the tallest head."""
    return max(figure.crown[2] for figure in figures) + HEADROOM - frame_height / 2
