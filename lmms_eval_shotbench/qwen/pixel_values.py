"""Conversion of uint8 patches to the vision tower's inputs, on the model's device.

The values are bit-identical to those of the checkpoint's processor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch

from lmms_eval_shotbench.qwen.inputs import CHANNELS, Patches, PatchRule
from lmms_eval_shotbench.vocabulary import MediaKind

MAX_BUFFER_VALUES = 2**27  # 512 MB of float32: a clip of 15 seconds
CPU_PATCHES, GPU_PATCHES = 256, 2**14  # converted at a time; on a CPU they fit in a core's cache


class PixelBuffer:
    """Reusable float32 memory on the CPU: page faults of new memory take longer than filling it."""

    def __init__(self) -> None:
        self._buffer = torch.empty(0)

    def take(self, count: int) -> torch.Tensor:
        """Return uninitialised float32 of shape (count,), which overwrites the values taken before."""
        if count > MAX_BUFFER_VALUES:
            return torch.empty(count)
        if len(self._buffer) < count:
            self._buffer = torch.empty(0)  # free the smaller buffer before allocating
            self._buffer = torch.empty(count)
        return self._buffer[:count]


def vision_inputs(
    media: Iterable[Patches],
    rule: PatchRule,
    device: torch.device,
    dtype: torch.dtype,
    buffer: PixelBuffer | None = None,
) -> dict[str, torch.Tensor]:
    """Return the media inputs of the model's forward, by the names of its parameters; a kind without media is absent.

    Pixel values have shape (patches, channels * frames per patch * side * side) and dtype `dtype`; grids, in patches
    (time, height, width), have shape (media, 3) and dtype int64.

    Args:
        media: media in the order of their placeholders.
        rule: patch rule of the checkpoint.
        device: device of the model.
        dtype: dtype of the model.
        buffer: memory for float32 values on a CPU; they are valid until the next call with the same buffer.
    """
    named = {
        MediaKind.STILL: ("pixel_values", "image_grid_thw"),
        MediaKind.CLIP: ("pixel_values_videos", "video_grid_thw"),
    }
    by_kind = sorted(media, key=lambda one: list(named).index(one.kind))
    values = _normalised([one.values for one in by_kind], rule, device, dtype, buffer or PixelBuffer())
    inputs = {}
    for kind, (values_name, grid_name) in named.items():
        grids = [one.grid for one in by_kind if one.kind is kind]
        if grids:
            inputs[values_name], values = values.tensor_split([sum(grid.patches for grid in grids)])
            inputs[grid_name] = torch.tensor([grid[:3] for grid in grids], device=device)
    return inputs


def _normalised(
    media: Sequence[torch.Tensor], rule: PatchRule, device: torch.device, dtype: torch.dtype, buffer: PixelBuffer
) -> torch.Tensor:
    """Normalise uint8 patches by mean and standard deviation in float32, then convert to the model's dtype."""
    shape = (sum(map(len, media)), CHANNELS, rule.frames, rule.side**2)
    buffered = dtype == torch.float32 and device.type == "cpu"
    normal = buffer.take(math.prod(shape)).view(shape) if buffered else torch.empty(shape, dtype=dtype, device=device)
    mean, std = (torch.tensor(one, device=device).view(1, -1, 1, 1) for one in (rule.mean, rule.std))
    chunk = CPU_PATCHES if device.type == "cpu" else GPU_PATCHES
    parts = [part for values in media for part in values.split(chunk)]
    for part, target in zip(parts, normal.split(list(map(len, parts))), strict=True):
        pixels = part.to(device, non_blocking=True).view(len(part), CHANNELS, -1, rule.side**2)
        target.copy_(pixels.float().sub_(mean).div_(std))  # broadcasts the single frame of a still
    return normal.flatten(1)
