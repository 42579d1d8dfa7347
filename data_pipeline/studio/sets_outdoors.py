"""Outdoor sets. Figures are near the origin, cameras on the near side; nothing tall is in between."""

from __future__ import annotations

import math

import numpy as np

from data_pipeline.studio import furnishings as put
from data_pipeline.studio.palettes import Palette
from data_pipeline.studio.solids import Assembly, Material, Texture
from data_pipeline.studio.stage import Scenery


def street(rng: np.random.Generator, palette: Palette, glow: float = 0.0) -> Scenery:
    """A pavement in front of a long wall, with houses behind it. `glow` lights lamps and windows at night."""
    solids = Assembly()
    wall, high = rng.uniform(4.5, 7.0), rng.uniform(2.4, 3.6)
    solids.box((0, wall, high / 2), (16, 0.15, high / 2), Material(palette.brick, Texture.BRICK, 0.02))
    solids.box((0, wall - 0.02, high + 0.06), (16, 0.22, 0.06), Material((0.60, 0.58, 0.54)))
    for left in range(-30, 31, 10):
        solids.cluster()
        wide, tall = rng.uniform(3.0, 4.8), rng.uniform(6, 15)
        facade = Material(palette.facades[abs(left // 10) % 3], Texture.WINDOWS, 0.1, glow)
        solids.box((left + rng.uniform(-1, 1), wall + rng.uniform(7, 14), tall / 2), (wide, 3, tall / 2), facade)
    for left in range(-20, 21, 20):
        solids.cluster()
        tall = rng.uniform(8, 14)
        facade = Material(palette.facades[1], Texture.WINDOWS, 0.1, glow)
        solids.box((left, -34, tall / 2), (7, 3, tall / 2), facade)
    gap = rng.uniform(3.4, 4.6)
    for side in (-1, 1):
        put.add_street_lamp(solids, side * gap, wall - 1.6, glow * 4)
    put.add_bench(solids, rng.uniform(1.6, 2.6) * rng.choice((-1, 1)), wall - 0.7, 0.0, palette.wood)
    put.add_crates(solids, rng.uniform(-3.2, -2.2), wall - 1.0, palette.wood, rng)
    if rng.random() < 0.6:
        put.add_car(
            solids, rng.uniform(5.5, 8.0) * rng.choice((-1, 1)), wall - 1.6, rng.uniform(-5, 5), palette.accents[0]
        )
    if rng.random() < 0.7:
        put.add_tree(solids, rng.uniform(-8, 8), wall + 2.5, rng.uniform(5, 7), palette.leaf, rng)
    return Scenery("street", Material(palette.paving, Texture.PAVING, 0.08), solids)


def city(rng: np.random.Generator, palette: Palette, glow: float = 0.0) -> Scenery:
    """An open square surrounded by tall buildings."""
    solids = Assembly()
    for number in range(15):
        angle = math.radians(-84 + 12 * number)
        away = rng.uniform(26, 46)
        half, tall = rng.uniform(3.4, 5.0), rng.uniform(9, 30)
        solids.cluster()
        facade = Material(palette.facades[number % 3], Texture.WINDOWS, 0.15, glow)
        solids.box((away * math.sin(angle), away * math.cos(angle), tall / 2), (half, half, tall / 2), facade)
        solids.box(
            (away * math.sin(angle), away * math.cos(angle), tall + 0.2),
            (half + 0.2, half + 0.2, 0.2),
            facade.shade(0.7),
        )
    for side in (-1, 1):
        for deep in (4.0, 12.0):
            put.add_street_lamp(solids, side * rng.uniform(4.0, 6.5), deep, glow * 4)
            put.add_tree(
                solids, side * rng.uniform(7.5, 11), deep + rng.uniform(-2, 4), rng.uniform(4, 6.5), palette.leaf, rng
            )
    put.add_car(solids, rng.uniform(-7, 7), rng.uniform(16, 20), rng.uniform(-20, 20), palette.accents[0])
    put.add_car(solids, rng.uniform(-14, -9), rng.uniform(14, 18), rng.uniform(-20, 20), palette.accents[1])
    put.add_bench(solids, rng.uniform(-3.0, 3.0), rng.uniform(6.0, 8.0), 0.0, palette.wood)
    return Scenery("city", Material(palette.paving, Texture.PAVING, 0.08), solids)


def field(rng: np.random.Generator, palette: Palette, glow: float = 0.0) -> Scenery:
    """A meadow with trees and distant hills."""
    solids = Assembly()
    for _ in range(26):
        angle, away = math.radians(rng.uniform(-75, 75)), rng.uniform(12, 80)
        put.add_tree(solids, away * math.sin(angle), away * math.cos(angle), rng.uniform(4, 8), palette.leaf, rng)
    for number in range(9):
        solids.cluster()
        angle = math.radians(-80 + 20 * number + rng.uniform(-6, 6))
        spot = (300 * math.sin(angle), 300 * math.cos(angle), -12)
        hill = Material((0.30, 0.38, 0.34), Texture.GRASS, 0.0)
        solids.ellipsoid(spot, (rng.uniform(80, 120), 90, rng.uniform(35, 75)), hill)
    return Scenery("field", Material(palette.grass, Texture.GRASS, 0.02), solids)


def beach(rng: np.random.Generator, palette: Palette, glow: float = 0.0) -> Scenery:
    """Sand, a strip of sea, and hills beyond it."""
    solids = Assembly()
    shore = rng.uniform(14, 24)
    solids.box((0, shore + 400, -0.49), (900, 400, 0.52), Material((0.16, 0.30, 0.36), Texture.SAND, 0.6))
    for number in range(6):
        solids.cluster()
        spot = (rng.uniform(-420, 420), 620, -14)
        solids.ellipsoid(spot, (rng.uniform(90, 170), 60, rng.uniform(30, 60)), Material((0.34, 0.40, 0.42)))
        if number < 4:
            solids.cluster()
            half = rng.uniform(0.25, 0.8)
            rock = Material((0.36, 0.33, 0.30), Texture.SAND)
            solids.ellipsoid(
                (rng.uniform(-9, 9), rng.uniform(4, shore), half * 0.3), (half * 1.3, half, half * 0.8), rock
            )
    return Scenery("beach", Material((0.66, 0.58, 0.44), Texture.SAND, 0.02), solids)


def heath(rng: np.random.Generator, palette: Palette, glow: float = 0.0) -> Scenery:
    """Bare ground up to the horizon, for figures in front of the sky."""
    solids = Assembly()
    for _ in range(int(rng.integers(0, 3))):
        put.add_tree(
            solids, rng.uniform(9, 20) * rng.choice((-1, 1)), rng.uniform(12, 30), rng.uniform(4, 7), palette.leaf, rng
        )
    return Scenery("heath", Material((0.36, 0.34, 0.26), Texture.GRASS, 0.0), solids)


def avenue(rng: np.random.Generator, palette: Palette, glow: float = 0.0) -> Scenery:
    """A road between two rows of identical houses and trees; the set is mirror-symmetric at x = 0."""
    solids = Assembly()
    seed, gap, tall = int(rng.integers(1 << 30)), rng.uniform(8.5, 11), rng.uniform(7, 14)
    height, step = rng.uniform(4, 5.5), rng.uniform(7, 9)
    for side in (-1, 1):
        for number in range(7):
            y = 3 + step * number
            solids.cluster()
            facade = Material(palette.facades[number % 2], Texture.WINDOWS, 0.1, glow)
            solids.box((side * (gap + 4), y, tall / 2), (4, step * 0.48, tall / 2), facade)
            put.add_street_lamp(solids, side * (gap - 3.6), y, glow * 4)
            mirrored = np.random.default_rng([seed, number])
            tree = Assembly()
            put.add_tree(tree, gap - 2.0, y + 3.4, height, palette.leaf, mirrored)
            solids.cluster().add_all(tree, mirrored_x=side < 0)
    solids.cluster()
    solids.box(
        (0, 3 + step * 7 + 4, tall * 0.7),
        (4.5, 4, tall * 0.7),
        Material(palette.facades[2], Texture.WINDOWS, 0.1, glow),
    )
    return Scenery("avenue", Material(palette.paving, Texture.ASPHALT, 0.05), solids)
