"""The colours of a film's sets, sampled once per film."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_pipeline.studio.solids import Colour

BRICKS: tuple[Colour, ...] = (
    (0.60, 0.36, 0.28),
    (0.52, 0.30, 0.24),
    (0.64, 0.52, 0.40),
    (0.50, 0.46, 0.43),
    (0.70, 0.66, 0.60),
)
WALLS: tuple[Colour, ...] = (
    (0.62, 0.60, 0.52), (0.50, 0.58, 0.60), (0.66, 0.56, 0.48), (0.56, 0.60, 0.50), (0.58, 0.50, 0.52),
    (0.72, 0.70, 0.66), (0.44, 0.50, 0.56), (0.64, 0.58, 0.40),
)  # fmt: skip
WOODS: tuple[Colour, ...] = ((0.42, 0.27, 0.15), (0.55, 0.38, 0.22), (0.30, 0.19, 0.12), (0.62, 0.48, 0.32))
ACCENTS: tuple[Colour, ...] = (
    (0.55, 0.20, 0.16), (0.20, 0.32, 0.48), (0.24, 0.38, 0.28), (0.66, 0.50, 0.22), (0.42, 0.26, 0.40),
    (0.30, 0.46, 0.48), (0.70, 0.62, 0.50),
)  # fmt: skip
FACADES: tuple[Colour, ...] = (
    (0.55, 0.52, 0.48),
    (0.44, 0.46, 0.50),
    (0.60, 0.50, 0.40),
    (0.64, 0.60, 0.54),
    (0.50, 0.42, 0.38),
)
LEAVES: tuple[Colour, ...] = (
    (0.20, 0.36, 0.14),
    (0.28, 0.40, 0.16),
    (0.16, 0.30, 0.14),
    (0.50, 0.36, 0.14),
    (0.44, 0.24, 0.12),
)
GRASSES: tuple[Colour, ...] = ((0.34, 0.46, 0.20), (0.42, 0.48, 0.22), (0.52, 0.48, 0.28), (0.30, 0.42, 0.22))
PAVINGS: tuple[Colour, ...] = ((0.46, 0.45, 0.43), (0.38, 0.38, 0.40), (0.54, 0.50, 0.44))


@dataclass(frozen=True)
class Palette:
    """Colours of one film."""

    brick: Colour
    wall: Colour
    wood: Colour
    floor: Colour
    accents: tuple[Colour, ...]
    facades: tuple[Colour, ...]
    leaf: Colour
    grass: Colour
    paving: Colour


def draw_palette(rng: np.random.Generator) -> Palette:
    """Sample the colours of one film."""

    def some(colours: tuple[Colour, ...], count: int = 1) -> tuple[Colour, ...]:
        return tuple(colours[number] for number in rng.permutation(len(colours))[:count])

    return Palette(
        brick=some(BRICKS)[0],
        wall=some(WALLS)[0],
        wood=some(WOODS)[0],
        floor=some(WOODS)[0],
        accents=some(ACCENTS, 4),
        facades=some(FACADES, 3),
        leaf=some(LEAVES)[0],
        grass=some(GRASSES)[0],
        paving=some(PAVINGS)[0],
    )
