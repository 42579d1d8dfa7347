"""Bicubic scaling of RGB bytes: the sums of Pillow and of torch, to the bit, in a fraction of their time.

Owns the weights, the order of the passes and the memory for them; the loops are in `resampling_loops.py`. That bytes
come out equal is seen to in `scale.py`, which compares.

- Pillow: whole numbers, weights in 22 binary places, bytes between both passes; which pass comes first is its choice.
- torch: float32, along the rows first, rounded at the end. Its compiled loop takes the neighbours after the first in
  fours, multiplied and then added; what is left over is multiplied and added in one rounding (found by trying; the same
  on AVX2 and AVX-512).
"""

from __future__ import annotations

import math
import threading
from functools import lru_cache
from typing import Any, NamedTuple

import numpy
import torch

from lmms_eval_shotbench.qwen.scaling import resampling_loops as loops
from lmms_eval_shotbench.qwen.scaling.resampling_loops import COLOURS, STRIP, WORD

Array = numpy.ndarray
Float = numpy.float32
KEPT_BYTES = 32_000_000  # by a thread, for each step; enough for frames of 4K


class Taps(NamedTuple):
    """For each pixel of a scaled line: its first neighbour, how many there are, and their weights, filled up by 0."""

    first: Array
    counts: Array
    weights: Array

    @classmethod
    def of(cls, lines: list[tuple[int, Any]], kind: Any) -> Taps:
        """From each pixel's first neighbour and weights."""
        weights = numpy.zeros((len(lines), max(len(line) for _, line in lines) + 3), kind)
        for row, (_, line) in zip(weights, lines, strict=True):
            row[: len(line)] = line
        first, count = zip(*((start, len(line)) for start, line in lines), strict=True)
        return cls(numpy.array(first, numpy.int64), numpy.array(count, numpy.int64), weights)


@lru_cache(maxsize=256)
def pillow_taps(size: int, scaled: int) -> Taps:
    """In double precision, divided by their sum, then rounded to whole numbers."""
    shrink = max(size / scaled, 1.0)
    lines = []
    for pixel in range(scaled):
        centre = (pixel + 0.5) * (size / scaled)
        first, end = max(int(centre - 2 * shrink + 0.5), 0), min(int(centre + 2 * shrink + 0.5), size)
        line = [_cubic((place - centre + 0.5) * (1.0 / shrink)) for place in range(first, end)]
        total = 0.0
        for weight in line:  # as Pillow adds; `sum` is more exact since Python 3.12
            total += weight
        lines.append((first, [_whole(weight / total) for weight in line]))
    return Taps.of(lines, numpy.int32)


def _cubic(distance: float) -> float:
    """Keys' cubic with a = -0.5."""
    x = abs(distance)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * -0.5 if x < 2 else 0.0


def _whole(weight: float) -> int:
    return int(weight * (1 << loops.PLACES) + math.copysign(0.5, weight))


@lru_cache(maxsize=256)
def torch_taps(size: int, scaled: int) -> Taps:
    """In float32, from torch itself: they are what it makes of the unit matrix."""
    unit = torch.eye(size)[None, None]
    shown = torch.nn.functional.interpolate(unit, (size, scaled), mode="bicubic", antialias=True)[0, 0].numpy()
    scale = Float(size) / Float(scaled)
    reach = Float(2) * max(scale, Float(1))
    centres = scale * (numpy.arange(scaled, dtype=Float) + Float(0.5))
    first = numpy.maximum((centres - reach + Float(0.5)).astype(int), 0).tolist()
    end = numpy.minimum((centres + reach + Float(0.5)).astype(int), size).tolist()
    return Taps.of([(a, shown[a:b, pixel]) for pixel, (a, b) in enumerate(zip(first, end, strict=True))], Float)


def as_pillow(picture: Array, height: int, width: int, across_first: bool) -> Array:
    """Bytes [rows, columns, 3] to bytes [height, 3, width]."""
    rows, columns, _ = picture.shape
    across, down = pillow_taps(columns, width), pillow_taps(rows, height)
    words, line = _words_of(picture), COLOURS * width
    scaled: Array = numpy.empty((height, line), numpy.uint8)
    if across_first:
        between = _bytes_across(words, rows, across)
        loops.bytes_down(between, *down, _room("sums", (line,), numpy.int32), scaled)
    else:
        between = _room("halfway", (height, WORD * words.shape[1]), numpy.uint8)
        loops.bytes_down(words.view(numpy.uint8), *down, _room("sums", between.shape[1:], numpy.int32), between)
        scaled[:] = _bytes_across(between.view(numpy.uint64), height, across)[:height, :line]
    return scaled.reshape(height, COLOURS, width)


def as_torch(picture: Array, height: int, width: int, scaled: Array) -> None:
    """Bytes [rows, columns, 3] to bytes `scaled` [height, 3, width]."""
    rows, columns, _ = picture.shape
    words, line = _words_of(picture), _up_to(COLOURS * width, WORD)
    turned = _room("turned", (WORD * words.shape[1], STRIP), numpy.uint8)
    tile = _room("tile", (WORD, STRIP), Float)
    between = _room("between", (_up_to(rows, STRIP), line), Float)
    seen: list[Array] = [one.view(numpy.uint64) for one in (turned, tile, between)]
    loops.floats_across(words, rows, *torch_taps(columns, width), turned, seen[0], tile, seen[1], seen[2])
    flat = scaled.reshape(height, COLOURS * width)
    loops.floats_down(between, *torch_taps(rows, height), _room("sums", (1, COLOURS * width), Float), flat)


def _bytes_across(words: Array, rows: int, taps: Taps) -> Array:
    """Scaled lines, on memory that the next call takes; rows and lines are filled up."""
    line = _up_to(COLOURS * len(taps.first), WORD)
    turned = _room("turned", (WORD * words.shape[1], STRIP), numpy.uint8)
    tile = _room("tile", (WORD, STRIP), numpy.uint8)
    between = _room("between", (_up_to(rows, STRIP), line), numpy.uint8)
    sums = _room("strip", (STRIP,), numpy.int32)
    seen: list[Array] = [one.view(numpy.uint64) for one in (turned, tile, between)]
    loops.bytes_across(words, rows, *taps, turned, seen[0], tile, seen[1], sums, seen[2])
    return between


def _words_of(picture: Array) -> Array:
    """Its rows, eight bytes a word; lines that do not end with a word are filled up in a copy."""
    rows = numpy.ascontiguousarray(picture).reshape(len(picture), -1)
    length = rows.shape[1]
    if length % WORD:
        filled = _room("filled", (len(rows), _up_to(length, WORD)), numpy.uint8)
        filled[:, :length] = rows
        rows = filled
    return rows.view(numpy.uint64)  # type: ignore[no-any-return]


_rooms = threading.local()


def _room(name: str, shape: tuple[int, ...], kind: Any) -> Array:
    """Memory of this thread that lasts from picture to picture: touching new memory costs more than the sums."""
    size = math.prod(shape) * numpy.dtype(kind).itemsize
    room: Array = getattr(_rooms, name, numpy.empty(0, numpy.uint8))
    if len(room) < size:
        room = numpy.empty(size, numpy.uint8)
        if size <= KEPT_BYTES:
            setattr(_rooms, name, room)
    return room[:size].view(kind).reshape(shape)  # type: ignore[no-any-return]


def _up_to(count: int, unit: int) -> int:
    return -(-count // unit) * unit
