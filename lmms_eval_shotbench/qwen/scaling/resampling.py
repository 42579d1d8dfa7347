"""Bicubic resizing of a frame with antialiasing, bit-identical to torch in less than half the time.

torch resizes along the width first and then along the height, in float32, and rounds once at the end. An output pixel
is a weighted sum of input pixels: the first product, then groups of four products, each rounded before it is added,
then the remaining ones by fused multiply-add. (Determined empirically; the same on AVX2 and AVX-512.) Here the same
operations run on a complete line of pixels at once, so that they are vectorised, 8 or 16 pixels per instruction.

`scale.py` verifies that the results are equal; README.md has the rationale and measurements.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, cast

import numpy
import torch
from numba import njit

Array = Any  # numpy array; numba infers its dtype and number of dimensions
Function = TypeVar("Function", bound=Callable[..., Any])
Float = numpy.float32
STRIP_ROWS = 64  # rows transposed at a time; they and their sums fit in the cache of a core


class Weights(NamedTuple):
    """Resampling weights of the output pixels of a line."""

    first: Array  # int64, (pixels,): index of the first input pixel of each output pixel
    counts: Array  # int64, (pixels,): number of its input pixels
    values: Array  # float32, (pixels, maximum count): their weights, padded with 0


def resized_like_torch(frame: numpy.ndarray, height: int, width: int) -> torch.Tensor:
    """Resize an RGB frame, uint8 of shape (rows, columns, 3), to uint8 of shape (3, height, width)."""
    rows, columns, channels = frame.shape
    across: Array = numpy.empty((rows, channels, width), Float)
    for top in range(0, rows, STRIP_ROWS):
        strip = frame[top : top + STRIP_ROWS].transpose(1, 2, 0)
        sums: Array = numpy.empty((width, channels * strip.shape[2]), Float)
        _weighted_sums(numpy.ascontiguousarray(strip).reshape(columns, -1), *torch_weights(columns, width), sums)
        across[top : top + STRIP_ROWS] = sums.reshape(width, channels, -1).transpose(2, 1, 0)
    down: Array = numpy.empty((height, channels * width), Float)
    _weighted_sums(across.reshape(rows, -1), *torch_weights(rows, height), down)
    return torch.from_numpy(down).clamp_(0, 255).round_().to(torch.uint8).view(height, channels, width).transpose(0, 1)


@lru_cache(maxsize=256)
def torch_weights(size: int, resized: int) -> Weights:
    """Weights for resizing lines of `size` pixels to `resized` pixels, from torch's result for an identity matrix."""
    unit = torch.eye(size)[None, None]
    shown = torch.nn.functional.interpolate(unit, (size, resized), mode="bicubic", antialias=True)[0, 0].numpy()
    scale = Float(size) / Float(resized)
    reach = Float(2) * max(scale, Float(1))
    centres = scale * (numpy.arange(resized, dtype=Float) + Float(0.5))
    first = numpy.maximum((centres - reach + Float(0.5)).astype(numpy.int64), 0)
    counts = numpy.minimum((centres + reach + Float(0.5)).astype(numpy.int64), size) - first
    values: Array = numpy.zeros((resized, counts.max()), Float)
    for pixel, (start, count) in enumerate(zip(first.tolist(), counts.tolist(), strict=True)):
        values[pixel, :count] = shown[start : start + count, pixel]
    return Weights(first, counts, values)


def compiled(function: Function, **options: Any) -> Function:
    """Compile a function that releases the GIL; the result is cached on disk if a cache folder is writable."""
    options |= {"nogil": True, "error_model": "numpy"}
    try:
        return cast(Function, njit(cache=True, **options)(function))
    except RuntimeError:  # neither the package's folder nor the user's home is writable
        return cast(Function, njit(**options)(function))


def _add_product(lines: Array, index: int, weight: Any, sums: Array, pixel: int) -> None:
    for column in range(sums.shape[1]):
        sums[pixel, column] += Float(lines[index, column]) * weight


_add_fused = compiled(_add_product, fastmath={"contract"})  # products are not rounded before they are added


@compiled
def _weighted_sums(lines: Array, first: Array, counts: Array, values: Array, sums: Array) -> None:
    """Set each row of `sums` (output pixels, values) to a weighted sum of rows of `lines` (input pixels, values)."""
    for pixel in range(sums.shape[0]):
        start, count, weight = first[pixel], counts[pixel], values[pixel, 0]
        for column in range(sums.shape[1]):
            sums[pixel, column] = Float(lines[start, column]) * weight
        tap = 1
        while tap + 4 <= count:
            a, w, x = start + tap, values[pixel, tap], values[pixel, tap + 1]
            y, z = values[pixel, tap + 2], values[pixel, tap + 3]
            for column in range(sums.shape[1]):
                half = (sums[pixel, column] + Float(lines[a, column]) * w) + Float(lines[a + 1, column]) * x
                sums[pixel, column] = (half + Float(lines[a + 2, column]) * y) + Float(lines[a + 3, column]) * z
            tap += 4
        while tap < count:
            _add_fused(lines, start + tap, values[pixel, tap], sums, pixel)
            tap += 1
