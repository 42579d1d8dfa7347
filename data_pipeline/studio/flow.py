"""Exact optical flow between two frames of a stage where nothing but the camera moves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from data_pipeline.studio.camera import Camera
from data_pipeline.studio.render import Frame

FAR = 1e6  # metres: where the sky is taken to be


def exact_flow(frame: Frame, camera_from: Camera, camera_to: Camera) -> npt.NDArray[np.float32]:
    """Where each pixel of the first frame goes, as (right, down) in pixels: (height, width, 2).

    What goes behind the second camera gets NaN. Figures that walk between the frames are not followed.
    """
    depth = np.minimum(frame.depth.astype(np.float64), FAR)
    points = np.array(camera_from.eye) + camera_from.rays(frame.size) * depth[..., None]
    seen = camera_to.project(points, frame.size)
    width, height = frame.size
    flow = seen[..., :2] - np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    if not camera_to.fisheye:
        flow[seen[..., 2] <= 0] = np.nan
    return np.asarray(flow.astype(np.float32))
