"""Indoor sets. The near side is open, so that cameras and lamps may be anywhere in front of the figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data_pipeline.studio import furnishings as put
from data_pipeline.studio.palettes import Palette
from data_pipeline.studio.solids import Assembly, Material, Texture
from data_pipeline.studio.stage import Scenery

NIGHT_PANE = Material((0.03, 0.04, 0.07), gloss=0.6)
DAY_PANE = Material((0.80, 0.90, 1.0), glow=1.6)


def _shell(solids: Assembly, half: float, back: float, high: float, wall: Material, side: Material) -> None:
    wall, side = replace(wall, casts_shadow=False), replace(side, casts_shadow=False)
    solids.box((0, back + 0.1, high / 2), (half, 0.1, high / 2), wall)
    for way in (-1, 1):
        solids.cluster()
        solids.box((way * (half + 0.1), back - 6.0, high / 2), (0.1, 6.1, high / 2), side)
    solids.cluster()
    solids.box((0, back - 6.0, high + 0.05), (half + 0.2, 6.2, 0.05), Material((0.80, 0.79, 0.76), casts_shadow=False))
    solids.cluster()
    solids.box((0, back - 0.01, 0.06), (half, 0.02, 0.06), Material((0.80, 0.78, 0.74), casts_shadow=False))


def bare_wall(rng: np.random.Generator, palette: Palette, glow: float = 0.0) -> Scenery:
    """A wall and a floor only."""
    solids = Assembly()
    back = rng.uniform(2.2, 3.2)
    texture = (Texture.PLAIN, Texture.STRIPES)[int(rng.integers(2))]
    solids.box((0, back + 0.1, 2), (7, 0.1, 2), Material(palette.wall, texture, casts_shadow=False))
    solids.box((0, back - 0.01, 0.06), (7, 0.02, 0.06), Material((0.80, 0.78, 0.74)))
    return Scenery("bare wall", Material(palette.floor, Texture.WOOD, 0.2), solids, (-7, 7, back, 4.0))


def room(rng: np.random.Generator, palette: Palette, glow: float = 0.0) -> Scenery:
    """A living room. A positive `glow` shows night in its window, otherwise day."""
    solids = Assembly()
    half, back, high = rng.uniform(3.6, 4.6), rng.uniform(2.4, 3.6), 2.9
    texture = (Texture.PLAIN, Texture.STRIPES)[int(rng.integers(2))]
    _shell(solids, half, back, high, Material(palette.wall, texture), Material(palette.wall).shade(0.94))
    way = int(rng.choice((-1, 1)))
    put.add_window(solids, way * rng.uniform(1.6, 2.2), back, NIGHT_PANE if glow else DAY_PANE, palette.accents[1])
    put.add_shelf(solids, -way * rng.uniform(2.0, 2.6), back - 0.2, palette.wood)
    put.add_picture(
        solids,
        way * rng.uniform(-0.3, 0.3),
        back,
        (palette.accents[2], palette.accents[3]),
        rng.uniform(0.3, 0.5),
        rng.uniform(0.25, 0.4),
    )
    put.add_sofa(solids, way * rng.uniform(0.4, 1.2), back - 0.65, palette.accents[0])
    put.add_plant(solids, way * (half - 0.5), back - 0.5, palette.accents[2], rng)
    floor = (Material(palette.floor, Texture.WOOD, 0.2), Material(palette.accents[3], Texture.CLOTH))[
        int(rng.integers(2))
    ]
    return Scenery("room", floor, solids, (-half, half, back, high))


def kitchen(rng: np.random.Generator, palette: Palette, glow: float = 0.0) -> Scenery:
    """Cupboards, a worktop and a table."""
    solids = Assembly()
    half, back, high = rng.uniform(3.4, 4.2), rng.uniform(2.2, 3.0), 2.8
    _shell(solids, half, back, high, Material(palette.wall, Texture.PAVING, 0.3), Material(palette.wall).shade(0.95))
    front = Material(palette.accents[0], gloss=0.3)
    for number in range(-3, 4):
        solids.cluster()
        x = number * 0.72
        solids.box((x, back - 0.3, 0.43), (0.34, 0.3, 0.42), front)
        solids.ellipsoid((x, back - 0.61, 0.7), (0.10, 0.015, 0.012), put.IRON)
        if abs(number) > 1:
            solids.box((x, back - 0.18, 1.95), (0.34, 0.18, 0.36), front.shade(1.05))
    solids.box((0, back - 0.31, 0.88), (2.6, 0.33, 0.02), Material(palette.wood, Texture.WOOD, 0.3))
    put.add_window(solids, 0.0, back, NIGHT_PANE if glow else DAY_PANE, palette.accents[3], 0.5)
    put.add_table(solids, rng.choice((-1, 1)) * rng.uniform(1.5, 2.0), rng.uniform(0.9, 1.3), (0.7, 0.4), palette.wood)
    return Scenery("kitchen", Material(palette.paving, Texture.PAVING, 0.3), solids, (-half, half, back, high))


def office(rng: np.random.Generator, palette: Palette, glow: float = 0.0) -> Scenery:
    """Desks, cabinets and a ceiling of plain panels."""
    solids = Assembly()
    half, back, high = rng.uniform(4.4, 5.4), rng.uniform(3.4, 5.0), 2.8
    grey = (0.66, 0.68, 0.68)
    _shell(solids, half, back, high, Material(grey), Material(grey).shade(0.95))
    for number in range(3):
        x = (-2.4, 0.3, 2.7)[number] + rng.uniform(-0.3, 0.3)
        put.add_table(solids, x, rng.uniform(1.6, back - 0.8), (0.75, 0.38), (0.70, 0.66, 0.58))
        solids.cluster()
        y = back - 0.9
        solids.box((x, y + 0.1, 1.0), (0.28, 0.02, 0.18), Material((0.06, 0.06, 0.07), gloss=0.5))
        solids.box((x, y + 0.12, 0.78), (0.05, 0.05, 0.06), Material((0.1, 0.1, 0.1)))
    for side in (-1, 1):
        solids.cluster()
        solids.box(
            (side * rng.uniform(half - 1.4, half - 0.6), back - 0.3, 0.7),
            (0.4, 0.3, 0.7),
            Material((0.45, 0.48, 0.50), gloss=0.3),
        )
    put.add_plant(solids, rng.uniform(-1.2, 1.2), back - 0.4, palette.accents[2], rng)
    return Scenery("office", Material((0.36, 0.38, 0.42), Texture.CLOTH), solids, (-half, half, back, high))


def corridor(rng: np.random.Generator, palette: Palette, glow: float = 0.0) -> Scenery:
    """A corridor with identical doors on both sides and one at its end, mirror-symmetric at x = 0."""
    solids = Assembly()
    half, back, high = rng.uniform(1.5, 2.0), rng.uniform(8, 13), 2.8
    wall = Material(palette.wall)
    _shell(solids, half, back, high, wall, wall)
    for side in (-1, 1):
        solids.cluster()
        solids.box((side * (half - 0.01), back - 8, 0.5), (0.02, 8, 0.5), Material(palette.wood, Texture.PLAIN, 0.2))
        solids.box((side * (half + 0.1), back - 15, high / 2), (0.1, 5, high / 2), wall)
        for number in range(6):
            solids.cluster()
            y = back - 1.4 - 2.2 * number
            solids.box((side * half, y, 1.03), (0.05, 0.5, 1.03), Material((0.80, 0.78, 0.74)))
            solids.box((side * half, y, 1.0), (0.07, 0.42, 1.0), Material(palette.accents[0], gloss=0.2))
    solids.cluster()
    solids.box((0, back, 1.03), (0.55, 0.05, 1.03), Material((0.80, 0.78, 0.74)))
    solids.box((0, back, 1.0), (0.46, 0.07, 1.0), Material(palette.accents[1], gloss=0.2))
    for number in range(5):
        solids.cluster()
        solids.ellipsoid(
            (0, back - 1.5 - 2.6 * number, high - 0.03), (0.22, 0.22, 0.06), Material((1.0, 0.95, 0.85), glow=1.8)
        )
    return Scenery("corridor", Material(palette.floor, Texture.PAVING, 0.35), solids, (-half, half, back, high))
