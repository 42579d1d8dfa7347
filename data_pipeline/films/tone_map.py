"""Tone mapping from high to standard dynamic range: a 3D lookup table for FFmpeg's `lut3d` filter.

Owns the mapping and its constants. FFmpeg as built into PyAV lacks zscale, which the usual tonemap chain needs; a
lookup table does the same in one fast filter. The signal is decoded to light by BT.2100 (PQ, or HLG for a display of
1000 nits). Diffuse white (203 nits, BT.2408) maps to 76 % of the signal and highlights up to 1000 nits above it, by
Reinhard's curve on the maximum of the three channels, which preserves hues. BT.2020 colours are converted to BT.709 and
clipped to its gamut. Scenes mastered brighter lose their highlights; mapped shots are recorded with a warning.
"""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline.films.film_probe import HLG

if TYPE_CHECKING:
    import numpy

GRID = 33  # table points per axis; few are enough, since PQ is perceptually uniform
DIFFUSE_WHITE = 203.0  # nits, BT.2408
PEAK = 1000.0  # nits mapped to the maximum of the signal
DISPLAY_GAMMA = 2.4  # BT.1886
ENOUGH_LIGHT = 1e-6
BT2020_TO_BT709 = (
    (1.6605, -0.5876, -0.0728),
    (-0.1246, 1.1329, -0.0083),
    (-0.0182, -0.1006, 1.1187),
)  # BT.2087


def to_standard_range(signal: numpy.ndarray, transfer: int) -> numpy.ndarray:
    """Map R'G'B' of BT.2100 to R'G'B' of BT.709, both float [..., 3] from 0 to 1.

    `transfer` is FFmpeg's AVColorTransferCharacteristic value: `HLG`, else PQ is assumed.
    """
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
    """Light in nits, [..., 3], of a PQ signal from 0 to 1 (SMPTE ST 2084)."""
    import numpy

    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal ** (1 / m2)
    nits: numpy.ndarray = 10000 * (numpy.clip(root - c1, 0, None) / (c2 - c3 * root)) ** (1 / m1)
    return nits


def _hlg_nits(signal: numpy.ndarray) -> numpy.ndarray:
    """Light in nits, [..., 3], of an HLG signal from 0 to 1 (ARIB STD-B67, BT.2100 system gamma, 1000-nit display)."""
    import numpy

    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = numpy.where(signal <= 0.5, signal**2 / 3, (numpy.exp((signal - c) / a) + b) / 12)
    luminance = scene @ numpy.array([0.2627, 0.6780, 0.0593])
    nits: numpy.ndarray = PEAK * scene * numpy.maximum(luminance, ENOUGH_LIGHT)[..., None] ** 0.2
    return nits


@lru_cache(maxsize=2)
def colour_table(transfer: int) -> Path:
    """Path of a .cube file with the mapping, written once per process."""
    import numpy

    axis = numpy.linspace(0, 1, GRID)
    grid: numpy.ndarray = numpy.stack(numpy.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    colours = to_standard_range(grid[..., ::-1], transfer).reshape(-1, 3)  # red varies fastest in a .cube
    lines = [f"LUT_3D_SIZE {GRID}", *(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in colours.tolist())]
    with tempfile.NamedTemporaryFile("w", suffix=".cube", prefix="shotbench-", delete=False) as file:
        file.write("\n".join(lines) + "\n")
    return Path(file.name)
