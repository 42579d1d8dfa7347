"""Tone mapping from high to standard dynamic range: a 3D lookup table for FFmpeg's `lut3d` filter.

Owns the mapping of films and stills, and its constants. FFmpeg as built into PyAV lacks zscale, which the usual tonemap
chain needs; a lookup table does the same in one fast filter. The signal is decoded to light by BT.2100 (PQ, or HLG for
a display of 1000 nits). Diffuse white (203 nits, BT.2408) maps to 76 % of the signal and highlights up to 1000 nits
above it, by Reinhard's curve on the maximum of the three channels, which preserves hues. BT.2020 colours are converted
to BT.709 and clipped to its gamut. Scenes mastered brighter lose their highlights; mapped shots are recorded with a
warning.
"""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.filter_graph import frame_source
from data_pipeline.high_dynamic_range import HLG, NAMES, Colours

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image

DEEP_RGB = "gbrp16le"  # pixel format in which the lookup table is applied
FULL_RANGE = 2  # AVCOL_RANGE_JPEG of FFmpeg
SCALING = "lanczos+accurate_rnd+full_chroma_int"
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


def refused_range(colours: Colours, settings: CutSettings) -> Flaw | None:
    """Why a picture of these colours is refused, or None."""
    if colours.are_high_dynamic_range and settings.high_dynamic_range == "refuse":
        return Flaw(DefectKind.HIGH_DYNAMIC_RANGE, f"{mapped_colours(colours)}; the settings refuse it")
    return None


def mapped_colours(colours: Colours) -> str:
    """The colours that are mapped, for messages."""
    return f"transfer characteristics {colours.transfer} ({NAMES[colours.transfer]})"


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


def tone_mapping(graph: Any, transfer: int, is_full_range: bool) -> list[Any]:
    """Filters of a graph (`av.filter.Graph`) that map BT.2020 or RGB pictures to standard range, as `DEEP_RGB`."""
    source_range = "full" if is_full_range else "limited"
    return [
        graph.add("scale", f"in_color_matrix=bt2020:in_range={source_range}:flags={SCALING}"),
        graph.add("format", DEEP_RGB),
        graph.add("lut3d", file=str(colour_table(transfer)), interp="tetrahedral"),
    ]


def tone_mapped_still(frame: Any, transfer: int) -> Image:
    """A picture (`av.VideoFrame`) of high dynamic range as RGB image of standard range."""
    import av.filter
    from PIL import Image

    is_full_range, graph = frame.format.is_rgb or frame.color_range == FULL_RANGE, av.filter.Graph()
    # Without this scaler FFmpeg may choose to insert one before the table, which is then applied in 8 bits.
    sink = [graph.add("scale", f"flags={SCALING}"), graph.add("format", "rgb24"), graph.add("buffersink")]
    graph.link_nodes(
        frame_source(graph, frame, is_full_range), *tone_mapping(graph, transfer, is_full_range), *sink
    ).configure()
    graph.vpush(frame)
    return Image.fromarray(graph.vpull().to_ndarray())
