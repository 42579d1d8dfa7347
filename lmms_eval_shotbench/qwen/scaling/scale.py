"""Scale pictures as the official script's libraries do, to the byte: stills as Pillow, frames as torch in float32.

Owns the choice between a library and the same sums compiled, several times as fast (`resampling.py`). A library may add
up in another order in its next version or on another processor; so for each pair of sizes both scale the same noise,
and only where all bytes are equal the library is not asked again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy
import torch

from lmms_eval_shotbench.qwen.scaling.resampling import as_pillow, as_torch

if TYPE_CHECKING:
    from PIL.Image import Image

SIZES_KEPT = 4096
NOISY_FRAMES = 4  # sums in another order show in a few bytes of a frame
LONGEST_SIDE = 4096  # of frames whose weights torch is asked for: it takes the square of that
Size = tuple[int, int, int, int]  # rows and columns, height and width
_met: set[Size] = set()  # by stills


def scaled_still(picture: Image, height: int, width: int) -> torch.Tensor:
    """An RGB picture to bytes (1, 3, height, width)."""
    size = (picture.height, picture.width, height, width)
    across_first = _order_of_pillow(*size) if size in _met else None
    _met.add(size)  # to compare is worth it for a size that comes again
    if across_first is None:
        return torch.from_numpy(_by_pillow(picture, height, width))[None]
    scaled = as_pillow(numpy.asarray(picture), height, width, across_first)
    return torch.from_numpy(scaled).permute(1, 0, 2)[None]


def scaled_frames(frames: numpy.ndarray, height: int, width: int) -> torch.Tensor:
    """RGB frames (n, rows, columns, 3) to bytes (n, 3, height, width)."""
    if not _torch_is_known(frames.shape[1], frames.shape[2], height, width):
        return torch.stack([_by_torch(frame, height, width) for frame in frames])
    scaled: numpy.ndarray = numpy.empty((len(frames), height, 3, width), numpy.uint8)
    for frame, target in zip(frames, scaled, strict=True):
        as_torch(frame, height, width, target)
    return torch.from_numpy(scaled).permute(0, 2, 1, 3)


@lru_cache(SIZES_KEPT)
def _order_of_pillow(rows: int, columns: int, height: int, width: int) -> bool | None:
    """Whether Pillow scales across first; None where it takes one pass or none, or other sums than ours."""
    from PIL import Image

    if rows == height or columns == width:
        return None
    noise = _noise(1, rows, columns)[0]
    known = _by_pillow(Image.fromarray(noise), height, width)
    fitting = [
        first for first in (True, False) if (as_pillow(noise, height, width, first).transpose(1, 0, 2) == known).all()
    ]
    return fitting[0] if len(fitting) == 1 else None


@lru_cache(SIZES_KEPT)
def _torch_is_known(rows: int, columns: int, height: int, width: int) -> bool:
    """Whether torch's sums are ours."""
    if (rows, columns) == (height, width) or max(rows, columns) > LONGEST_SIDE:
        return False
    ours: numpy.ndarray = numpy.empty((height, 3, width), numpy.uint8)
    for noise in _noise(NOISY_FRAMES, rows, columns):
        as_torch(noise, height, width, ours)
        if not (ours.transpose(1, 0, 2) == _by_torch(noise, height, width).numpy()).all():
            return False
    return True


def _noise(count: int, rows: int, columns: int) -> numpy.ndarray:
    noise: numpy.ndarray = numpy.random.default_rng(0).integers(0, 256, (count, rows, columns, 3), numpy.uint8)
    return noise


def _by_pillow(picture: Image, height: int, width: int) -> numpy.ndarray:
    planes: numpy.ndarray = numpy.asarray(picture.resize((width, height))).transpose(2, 0, 1)
    return numpy.ascontiguousarray(planes)  # type: ignore[no-any-return]


def _by_torch(frame: numpy.ndarray, height: int, width: int) -> torch.Tensor:
    """One frame at a time, a plane a colour: the same sums as all at once, in a third of the time."""
    planes = torch.from_numpy(frame).permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format)
    scaled = torch.nn.functional.interpolate(planes, (height, width), mode="bicubic", antialias=True)[0]
    return scaled.clamp_(0, 255).round_().to(torch.uint8)
