"""Ground truth of rendered frames: instance ids, depth and optical flow.

Owns the file: a compressed NumPy archive with `ids` (-2 letterbox bar, -1 sky, 0 set, n the n-th figure), `depth` in
metres and, for clips, `flow` to the next frame (right and down in pixels), all at the size of the film including bars.
Depth and flow are NaN in bars, and flow is NaN on walking figures.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from data_pipeline.studio.camera import Camera
from data_pipeline.studio.render import Frame
from lmms_eval_shotbench.atomic_file import write_atomic

if TYPE_CHECKING:
    from data_pipeline.studio.films import FilmedShot


FAR = 1e6  # metres, assumed distance of the sky
BAR = -2  # in `ids`, in addition to the values of `render.py`: a letterbox bar


def write_frame_truth(path: Path, shot: FilmedShot, bar: int = 0) -> None:
    """Write the ground truth of a shot's frames, padded by `bar` rows above and below."""
    arrays = {
        "ids": np.stack([frame.ids for frame in shot.frames]).astype(np.int8),
        "depth": np.stack([frame.depth for frame in shot.frames]).astype(np.float16),
    }
    if len(shot.frames) > 1:
        arrays["flow"] = flow_of(shot).astype(np.float16)
    arrays = {name: _between_bars(array, bar) for name, array in arrays.items()}
    target = io.BytesIO()
    np.savez_compressed(target, allow_pickle=False, **arrays)
    write_atomic(path, target.getvalue())


def _between_bars(array: npt.NDArray[Any], bar: int) -> npt.NDArray[Any]:
    """Pad an array (frames, rows, ...) with the rows of the bars."""
    nothing = np.nan if np.issubdtype(array.dtype, np.floating) else BAR
    margins = [(bar, bar) if axis == 1 else (0, 0) for axis in range(array.ndim)]
    return np.pad(array, margins, constant_values=nothing)


def flow_of(shot: FilmedShot) -> npt.NDArray[np.float32]:
    """Return the exact optical flow of a clip in pixels (right, down), (frames - 1, height, width, 2)."""
    walking = [number for number, person in enumerate(shot.clip.people, start=1) if person.pace] if shot.clip else []
    flows = []
    for frame, camera, next_camera in zip(shot.frames, shot.cameras, shot.cameras[1:], strict=False):
        flow = exact_flow(frame, camera, next_camera)
        flow[np.isin(frame.ids, walking)] = np.nan
        flows.append(flow)
    return np.stack(flows)


def exact_flow(frame: Frame, camera_from: Camera, camera_to: Camera) -> npt.NDArray[np.float32]:
    """Return the flow of each pixel between two cameras, (right, down) in pixels, float32 (height, width, 2).

    Points behind the second camera are NaN. Movements of figures are not included.
    """
    depth = np.minimum(frame.depth.astype(np.float64), FAR)
    points = np.array(camera_from.eye) + camera_from.rays(frame.size) * depth[..., None]
    seen = camera_to.project(points, frame.size)
    width, height = frame.size
    flow = seen[..., :2] - np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    if not camera_to.fisheye:
        flow[seen[..., 2] <= 0] = np.nan
    return np.asarray(flow.astype(np.float32))
