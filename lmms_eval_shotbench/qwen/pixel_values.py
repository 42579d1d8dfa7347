"""Patches, kept as bytes until they are on the model's device, to the numbers that the vision tower takes.

They are what the checkpoint's processor would give, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch

from lmms_eval_shotbench.qwen.inputs import CHANNELS, Patches, PatchRule
from lmms_eval_shotbench.vocabulary import MediaKind

KEPT_NUMBERS = 2**27  # 512 MB: a clip of 15 seconds
CPU_PATCHES, GPU_PATCHES = 256, 2**14  # normalised at a time: on a CPU, numbers that stay in a core's cache


class PixelBuffer:
    """Float32 memory on the CPU, reused from prompt to prompt: to touch new memory takes longer than to fill it."""

    def __init__(self) -> None:
        self._kept = torch.empty(0)

    def take(self, numbers: int) -> torch.Tensor:
        """Return float32 of any value, in the memory of those taken before."""
        if numbers > KEPT_NUMBERS:
            return torch.empty(numbers)
        if len(self._kept) < numbers:
            self._kept = torch.empty(0)  # what is too small is given back first
            self._kept = torch.empty(numbers)
        return self._kept[:numbers]


def vision_inputs(
    media: Iterable[Patches],
    rule: PatchRule,
    device: torch.device,
    dtype: torch.dtype,
    buffer: PixelBuffer | None = None,
) -> dict[str, torch.Tensor]:
    """Return what the model's forward takes for these media, on its device.

    Args:
        media: in the order of their placeholders.
        rule: of the checkpoint.
        device: of the model.
        dtype: of the model.
        buffer: memory for the values of float32 on a CPU; they are valid until the next call with the same buffer.
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
    """Bytes to what the processor would give: minus mean, by deviation, in float32 and then in the model's type."""
    shape = (sum(map(len, media)), CHANNELS, rule.frames, rule.side**2)
    buffered = dtype == torch.float32 and device.type == "cpu"
    normal = buffer.take(math.prod(shape)).view(shape) if buffered else torch.empty(shape, dtype=dtype, device=device)
    mean, std = (torch.tensor(one, device=device).view(1, -1, 1, 1) for one in (rule.mean, rule.std))
    at_once = CPU_PATCHES if device.type == "cpu" else GPU_PATCHES
    parts = [part for values in media for part in values.split(at_once)]
    for part, target in zip(parts, normal.split(list(map(len, parts))), strict=True):
        shown = part.to(device, non_blocking=True).view(len(part), CHANNELS, -1, rule.side**2)
        target.copy_(shown.float().sub_(mean).div_(std))  # a still's one frame fills all of a patch
    return normal.flatten(1)
