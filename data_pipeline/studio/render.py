"""Render a stage through a camera: RGB image, instance ids and depth.

The same stage and camera give the same bytes in every run and process on one machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data_pipeline.studio.camera import Camera, Size
from data_pipeline.studio.develop import develop
from data_pipeline.studio.ray_tracing import compiled_renderer
from data_pipeline.studio.rays import NOTHING
from data_pipeline.studio.solids import OWNER
from data_pipeline.studio.stage import Stage

SIZE: Size = (320, 180)
SKY, SET = -1, 0  # in `Frame.ids`; figures are numbered from 1


@dataclass(frozen=True, eq=False)
class Frame:
    """A rendered image with ground truth for every pixel; all arrays are (height, width, ...)."""

    rgb: npt.NDArray[np.uint8]  # (height, width, 3), sRGB
    ids: npt.NDArray[np.int32]  # SKY, SET, or the number of a figure
    depth: npt.NDArray[np.float32]  # metres along the ray; inf for the sky

    def figure_mask(self, number: int) -> npt.NDArray[np.bool_]:
        """Return the boolean mask (height, width) of the n-th figure of the stage, counted from 1."""
        return np.asarray(self.ids == number)

    @property
    def size(self) -> Size:
        return self.ids.shape[1], self.ids.shape[0]


def render(stage: Stage, camera: Camera, size: Size = SIZE) -> Frame:
    """Render a stage; `size` is (width, height) in pixels."""
    width, height = size
    light = np.zeros((height, width, 3))
    hit: npt.NDArray[np.int64] = np.zeros((height, width), np.int64)
    depth = np.zeros((height, width))
    built = stage.built
    compiled_renderer()(
        built.solids, built.clusters, built.spheres, built.ground, built.room,
        stage.lighting.light_rows(), stage.lighting.environment(),
        tuple(map(float, camera.eye)), np.ascontiguousarray(camera.axes), camera.half_field, camera.fisheye,
        light, hit, depth,
    )  # fmt: skip
    # GROUND and NOTHING are -2 and -1, so they index the last two entries.
    owners = np.concatenate([built.solids[:, OWNER], [SET, SKY]]).astype(np.int32)
    distance = np.where(hit == NOTHING, np.inf, depth).astype(np.float32)
    return Frame(develop(light, depth, camera, stage.lighting), owners[hit], distance)
