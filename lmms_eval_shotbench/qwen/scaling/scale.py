"""Resize pictures as the official script's libraries do, to the byte: stills by Pillow, frames as torch in float32.

Owns the choice between torch and the same sums compiled (`resampling.py`). torch may add up in another order in its
next version or on another processor; so for each pair of sizes both resize the same noise, and only where all bytes
are equal the compiled sums are used.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy
import torch

from lmms_eval_shotbench.qwen.scaling.resampling import resized_like_torch

if TYPE_CHECKING:
    from PIL.Image import Image

SIZES_KEPT = 4096
NOISE_FRAMES = 4  # sums in another order show in a few bytes of a frame
LONGEST_SIDE = 4096  # of frames whose weights torch is asked for: it takes the square of that


def scaled_still(picture: Image, height: int, width: int) -> torch.Tensor:
    """Resize an RGB picture to bytes (1, 3, height, width)."""
    from PIL.Image import Resampling

    return torch.from_numpy(numpy.array(picture.resize((width, height), Resampling.BICUBIC))).permute(2, 0, 1)[None]


def scaled_frames(frames: numpy.ndarray, height: int, width: int) -> torch.Tensor:
    """Resize RGB frames (n, rows, columns, 3) to bytes (n, 3, height, width)."""
    _, rows, columns, _ = frames.shape
    resize = resized_like_torch if compiled_sums_agree(rows, columns, height, width) else resized_by_torch
    return torch.stack([resize(frame, height, width) for frame in frames])


@lru_cache(SIZES_KEPT)
def compiled_sums_agree(rows: int, columns: int, height: int, width: int) -> bool:
    """Whether the compiled sums give torch's bytes for frames of this size, resized to that one."""
    if (rows, columns) == (height, width) or max(rows, columns) > LONGEST_SIDE:
        return False
    noise = numpy.random.default_rng(0).integers(0, 256, (NOISE_FRAMES, rows, columns, 3), numpy.uint8)
    return all(
        torch.equal(resized_like_torch(frame, height, width), resized_by_torch(frame, height, width)) for frame in noise
    )


def resized_by_torch(frame: numpy.ndarray, height: int, width: int) -> torch.Tensor:
    """Resize one frame to bytes (3, height, width); a plane a channel, the same sums as all frames at once, faster."""
    planes = torch.from_numpy(frame).permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format)
    resized = torch.nn.functional.interpolate(planes, (height, width), mode="bicubic", antialias=True)[0]
    return resized.clamp_(0, 255).round_().to(torch.uint8)
