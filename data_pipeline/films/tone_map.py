"""High dynamic range to standard: a table of colours for FFmpeg's `lut3d` filter.

Owns the mapping and its constants. The FFmpeg inside PyAV has no zscale, whose tonemap chain is the usual way; a colour
table does the same to every pixel in one quick filter. Light is decoded by BT.2100 (PQ, or HLG for a display of 1000
nits), white of diffuse things (203 nits, BT.2408) comes to 76 % of the signal, highlights up to 1000 nits above it, by
Reinhard's curve on the brightest of the three colours, which keeps hues, BT.2020 colours become BT.709 and what lies
outside is cut off. Scenes mastered brighter lose their highlights; that they were mapped is noted with each shot.
"""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline.films.film_probe import HLG

if TYPE_CHECKING:
    import numpy

GRID = 33  # colours an axis; PQ is even to the eye, so that few are enough
DIFFUSE_WHITE = 203.0  # nits, BT.2408
PEAK = 1000.0  # nits that become the brightest
DISPLAY_GAMMA = 2.4  # BT.1886
ENOUGH_LIGHT = 1e-6
BT2020_TO_BT709 = (
    (1.6605, -0.5876, -0.0728),
    (-0.1246, 1.1329, -0.0083),
    (-0.0182, -0.1006, 1.1187),
)  # BT.2087


def to_standard_range(signal: numpy.ndarray, transfer: int) -> numpy.ndarray:
    """Map R'G'B' of BT.2100, [..., 3] from 0 to 1, to R'G'B' of BT.709."""
    import numpy

    light = (_hlg_nits(signal) if transfer == HLG else _pq_nits(signal)) / DIFFUSE_WHITE
    light = light @ numpy.array(BT2020_TO_BT709).T
    light = numpy.clip(light, 0, None)
    brightest = numpy.maximum(light.max(axis=-1, keepdims=True), ENOUGH_LIGHT)
    peak = PEAK / DIFFUSE_WHITE
    rolled_off = brightest * (1 + brightest / peak**2) / (1 + brightest)
    standard: numpy.ndarray = numpy.clip(light * rolled_off / brightest, 0, 1) ** (1 / DISPLAY_GAMMA)
    return standard


def _pq_nits(signal: numpy.ndarray) -> numpy.ndarray:
    """SMPTE ST 2084."""
    import numpy

    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal ** (1 / m2)
    nits: numpy.ndarray = 10000 * (numpy.clip(root - c1, 0, None) / (c2 - c3 * root)) ** (1 / m1)
    return nits


def _hlg_nits(signal: numpy.ndarray) -> numpy.ndarray:
    """ARIB STD-B67, with BT.2100's system gamma for a display of 1000 nits."""
    import numpy

    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = numpy.where(signal <= 0.5, signal**2 / 3, (numpy.exp((signal - c) / a) + b) / 12)
    luminance = scene @ numpy.array([0.2627, 0.6780, 0.0593])
    nits: numpy.ndarray = PEAK * scene * numpy.maximum(luminance, ENOUGH_LIGHT)[..., None] ** 0.2
    return nits


@lru_cache(maxsize=2)
def colour_table(transfer: int) -> Path:
    """A .cube file with the mapping, written once a process."""
    import numpy

    axis = numpy.linspace(0, 1, GRID)
    grid: numpy.ndarray = numpy.stack(numpy.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    colours = to_standard_range(grid[..., ::-1], transfer).reshape(-1, 3)  # red changes quickest in a .cube
    lines = [f"LUT_3D_SIZE {GRID}", *(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in colours.tolist())]
    with tempfile.NamedTemporaryFile("w", suffix=".cube", prefix="shotbench-", delete=False) as file:
        file.write("\n".join(lines) + "\n")
    return Path(file.name)
