"""From a stage and a camera to a frame: picture, whose pixel is whose, and how far away it is.

The same stage and camera give the same bytes, run after run and in every process of one machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data_pipeline.studio.camera import Camera, Size
from data_pipeline.studio.develop import develop
from data_pipeline.studio.rays import NOTHING
from data_pipeline.studio.seeing import painter
from data_pipeline.studio.solids import OWNER
from data_pipeline.studio.stage import Stage

SIZE: Size = (320, 180)
SKY, SET = -1, 0  # in `Frame.ids`; figures count from 1


@dataclass(frozen=True, eq=False)
class Frame:
    """A rendered picture with the truth about every pixel."""

    rgb: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.int32]  # SKY, SET, or the number of a figure
    depth: npt.NDArray[np.float32]  # metres along the ray; infinite for the sky

    def figure_mask(self, number: int) -> npt.NDArray[np.bool_]:
        """The pixels of the n-th figure, counted from 1 in the order of the stage."""
        return np.asarray(self.ids == number)

    @property
    def size(self) -> Size:
        return self.ids.shape[1], self.ids.shape[0]


def render(stage: Stage, camera: Camera, size: Size = SIZE) -> Frame:
    """Photograph a stage."""
    width, height = size
    light = np.zeros((height, width, 3))
    met: npt.NDArray[np.int64] = np.zeros((height, width), np.int64)
    depth = np.zeros((height, width))
    built = stage.built
    painter()(
        built.solids, built.clusters, built.spheres, built.ground, built.room,
        stage.lighting.light_rows(), stage.lighting.surroundings(),
        tuple(map(float, camera.eye)), np.ascontiguousarray(camera.axes), camera.half_field, camera.fisheye,
        light, met, depth,
    )  # fmt: skip
    owners = np.concatenate([built.solids[:, OWNER], [SET, SKY]]).astype(
        np.int32
    )  # GROUND and NOTHING, -2 and -1, pick from the end
    far = np.where(met == NOTHING, np.inf, depth).astype(np.float32)
    return Frame(develop(light, depth, camera, stage.lighting), owners[met], far)
