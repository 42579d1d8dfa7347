"""Resize pictures exactly as the official script's libraries do: stills by Pillow, frames as torch in float32.

Selects torch or the compiled version of its algorithm (`resampling.py`) for frames. Another version of torch or another
processor may add in another order; so for each pair of sizes both resize the same noise, and the compiled version is
used only if the results are equal.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy
import torch

from lmms_eval_shotbench.qwen.scaling.resampling import resized_like_torch

if TYPE_CHECKING:
    from PIL.Image import Image

SIZES_KEPT = 4096  # maximum number of cached results of `compiled_sums_agree`
NOISE_FRAMES = 4  # another order of summation changes only a few bytes of a frame
LONGEST_SIDE = 4096  # maximum side in pixels for the compiled version: its weights need a matrix of side x side


def scaled_still(picture: Image, height: int, width: int) -> torch.Tensor:
    """Resize an RGB picture to uint8 of shape (1, 3, height, width)."""
    from PIL.Image import Resampling

    return torch.from_numpy(numpy.array(picture.resize((width, height), Resampling.BICUBIC))).permute(2, 0, 1)[None]


def scaled_frames(frames: numpy.ndarray, height: int, width: int) -> torch.Tensor:
    """Resize RGB frames, uint8 of shape (n, rows, columns, 3), to uint8 of shape (n, 3, height, width)."""
    _, rows, columns, _ = frames.shape
    resize = resized_like_torch if compiled_sums_agree(rows, columns, height, width) else resized_by_torch
    return torch.stack([resize(frame, height, width) for frame in frames])


@lru_cache(SIZES_KEPT)
def compiled_sums_agree(rows: int, columns: int, height: int, width: int) -> bool:
    """Whether the compiled version can be used to resize frames from (rows, columns) to (height, width).

    It must agree with torch on random frames. False if the sizes are equal or a side is longer than `LONGEST_SIDE`.
    """
    if (rows, columns) == (height, width) or max(rows, columns) > LONGEST_SIDE:
        return False
    noise = numpy.random.default_rng(0).integers(0, 256, (NOISE_FRAMES, rows, columns, 3), numpy.uint8)
    return all(
        torch.equal(resized_like_torch(frame, height, width), resized_by_torch(frame, height, width)) for frame in noise
    )


def resized_by_torch(frame: numpy.ndarray, height: int, width: int) -> torch.Tensor:
    """Resize one frame, uint8 of shape (rows, columns, 3), to uint8 of shape (3, height, width) by torch.

    One frame with contiguous channels at a time is faster than a batch of frames, with the same result.
    """
    planes = torch.from_numpy(frame).permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format)
    resized = torch.nn.functional.interpolate(planes, (height, width), mode="bicubic", antialias=True)[0]
    return resized.clamp_(0, 255).round_().to(torch.uint8)
