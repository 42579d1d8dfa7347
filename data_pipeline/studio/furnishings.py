"""Objects on sets: trees, lamps, benches, cars, furniture. Each function begins its own clusters."""

from __future__ import annotations

import math

import numpy as np

from data_pipeline.studio.camera import Array, Point
from data_pipeline.studio.solids import Assembly, Colour, Material, Texture, heading_rotation

BARK = Material((0.30, 0.22, 0.15), Texture.WOOD)
IRON = Material((0.13, 0.14, 0.15), gloss=0.3)
GLASS = Material((0.10, 0.12, 0.14), gloss=0.9)
WHITE = Material((0.90, 0.88, 0.84))


def add_tree(solids: Assembly, x: float, y: float, height: float, leaf: Colour, rng: np.random.Generator) -> None:
    """Add a tree: a trunk and a crown of a few round masses of leaves."""
    solids.cluster()
    crown = Material(leaf, Texture.LEAVES, 0.02)
    solids.cone((x, y, 0), (x, y, height * 0.55), (0.035 * height, 0.02 * height), BARK)
    for number in range(5):
        angle = number * 2.4 + rng.uniform(0, 1)
        away = 0.17 * height * (number > 0)
        spot = (x + away * math.cos(angle), y + away * math.sin(angle), height * (0.70 + 0.16 * rng.random()))
        radius = height * rng.uniform(0.15, 0.22)
        solids.ellipsoid(spot, (radius, radius, radius * 0.9), crown.shade(rng.uniform(0.85, 1.1)), softness=0.25)


def add_street_lamp(solids: Assembly, x: float, y: float, glow: float = 0.0, height: float = 3.8) -> None:
    """Add a lamp post; its globe glows if `glow` is positive."""
    solids.cluster()
    solids.cone((x, y, 0), (x, y, height), (0.07, 0.045), IRON)
    solids.cone((x, y, 0), (x, y, 0.3), (0.13, 0.08), IRON)
    globe = Material((1.0, 0.86, 0.62) if glow else (0.93, 0.91, 0.84), gloss=0.4, glow=glow)
    solids.ellipsoid((x, y, height + 0.16), 0.19, globe)


def add_bench(solids: Assembly, x: float, y: float, turn: float, wood: Colour) -> None:
    solids.cluster()
    frame, board = heading_rotation(turn), Material(wood, Texture.WOOD)
    for along, up in ((0.0, 0.42), (0.2, 0.72)):
        middle = frame @ np.array([0, along, 0]) + np.array([x, y, up])
        solids.box(middle, (0.85, 0.20, 0.025) if up < 0.5 else (0.85, 0.025, 0.16), board, frame)
    for side in (-0.7, 0.7):
        solids.box(frame @ np.array([side, 0, 0]) + np.array([x, y, 0.21]), (0.035, 0.18, 0.21), IRON, frame)


def add_crates(solids: Assembly, x: float, y: float, wood: Colour, rng: np.random.Generator) -> None:
    solids.cluster()
    for number in range(int(rng.integers(1, 4))):
        half = rng.uniform(0.28, 0.42)
        spot = (x + 0.75 * (number % 2), y, half + 0.62 * (number // 2))
        solids.box(spot, (half, half, half), Material(wood, Texture.WOOD), heading_rotation(rng.uniform(0, 60)))


def add_car(solids: Assembly, x: float, y: float, turn: float, paint: Colour) -> None:
    """Add a parked car, seen from the side at a rotation of 0 degrees."""
    solids.cluster()
    frame, body = heading_rotation(turn), Material(paint, gloss=0.8)
    origin = np.array([x, y, 0.0])

    def to_stage(spot: Point) -> Array:
        return np.asarray(frame @ np.array(spot) + origin)

    solids.box(to_stage((0, 0, 0.62)), (2.05, 0.82, 0.27), body, frame)
    solids.ellipsoid(to_stage((0, 0, 0.72)), (2.2, 0.88, 0.28), body, frame)
    solids.box(to_stage((-0.1, 0, 1.08)), (1.0, 0.72, 0.24), GLASS, frame)
    solids.box(to_stage((-0.1, 0, 1.34)), (0.92, 0.70, 0.03), body, frame)
    for post in (-1.05, -0.1, 0.85):
        solids.box(to_stage((post, 0, 1.1)), (0.04, 0.735, 0.25), body, frame)
    for along in (-1.3, 1.3):
        for side in (-0.72, 0.72):
            solids.ellipsoid(to_stage((along, side, 0.32)), (0.33, 0.12, 0.33), Material((0.05, 0.05, 0.05)), frame)
            solids.ellipsoid(
                to_stage((along, side * 1.12, 0.32)), (0.19, 0.07, 0.19), Material((0.6, 0.6, 0.62), gloss=0.6), frame
            )


def add_table(
    solids: Assembly, x: float, y: float, half: tuple[float, float], wood: Colour, height: float = 0.75
) -> None:
    solids.cluster()
    board = Material(wood, Texture.WOOD, 0.2)
    solids.box((x, y, height - 0.025), (*half, 0.025), board)
    for side in (-1, 1):
        for deep in (-1, 1):
            spot = (x + side * (half[0] - 0.06), y + deep * (half[1] - 0.06), (height - 0.05) / 2)
            solids.box(spot, (0.03, 0.03, (height - 0.05) / 2), board)


def add_sofa(solids: Assembly, x: float, y: float, cloth: Colour) -> None:
    solids.cluster()
    fabric = Material(cloth, Texture.CLOTH)
    solids.box((x, y, 0.24), (1.0, 0.42, 0.18), fabric)
    solids.box((x, y + 0.36, 0.58), (1.0, 0.12, 0.34), fabric.shade(0.95))
    for side in (-1, 1):
        solids.box((x + side * 1.05, y, 0.36), (0.11, 0.45, 0.30), fabric.shade(0.9))
        solids.ellipsoid((x + side * 0.48, y - 0.02, 0.46), (0.46, 0.40, 0.10), fabric.shade(1.06))


def add_shelf(solids: Assembly, x: float, y: float, wood: Colour, wide: float = 0.9, high: float = 2.0) -> None:
    solids.cluster()
    board = Material(wood, Texture.WOOD)
    solids.box((x, y, high / 2), (wide, 0.16, high / 2), Material((0.42, 0.36, 0.30), Texture.BOOKS))
    for side in (-1, 1):
        solids.box((x + side * (wide + 0.02), y - 0.02, high / 2), (0.025, 0.18, high / 2 + 0.02), board)
    solids.box((x, y - 0.02, high + 0.02), (wide + 0.045, 0.18, 0.025), board)


def add_picture(
    solids: Assembly, x: float, wall: float, colours: tuple[Colour, Colour], wide: float, high: float
) -> None:
    """Add a framed picture on the back wall."""
    solids.cluster()
    solids.box((x, wall - 0.02, 1.65), (wide + 0.05, 0.02, high + 0.05), Material((0.20, 0.14, 0.09), gloss=0.2))
    solids.box((x, wall - 0.035, 1.65), (wide, 0.02, high), Material(colours[0], Texture.SAND))
    solids.ellipsoid(
        (x - wide * 0.2, wall - 0.04, 1.6), (wide * 0.4, 0.022, high * 0.5), Material(colours[1], Texture.SAND)
    )


def add_window(solids: Assembly, x: float, wall: float, pane: Material, curtain: Colour, wide: float = 0.65) -> None:
    """Add a window in the back wall with curtains at its sides."""
    solids.cluster()
    solids.box((x, wall - 0.02, 1.6), (wide + 0.06, 0.03, 0.85), WHITE)
    solids.box((x, wall - 0.04, 1.6), (wide, 0.025, 0.78), pane)
    solids.box((x, wall - 0.06, 1.6), (0.025, 0.02, 0.78), WHITE)
    solids.box((x, wall - 0.06, 1.75), (wide, 0.02, 0.02), WHITE)
    for side in (-1, 1):
        solids.box((x + side * (wide + 0.14), wall - 0.10, 1.45), (0.20, 0.04, 1.1), Material(curtain, Texture.FOLDS))


def add_plant(solids: Assembly, x: float, y: float, pot: Colour, rng: np.random.Generator) -> None:
    solids.cluster()
    solids.cone((x, y, 0.1), (x, y, 0.32), (0.12, 0.17), Material(pot))
    leaf = Material((0.16, 0.34, 0.14), Texture.LEAVES, 0.1)
    for number in range(8):
        angle, up = number * 2.4, rng.uniform(0.55, 1.25)
        solids.cone((x, y, 0.4), (x + 0.28 * math.cos(angle), y + 0.22 * math.sin(angle), up), (0.02, 0.06), leaf)


def add_floor_lamp(solids: Assembly, x: float, y: float, glow: float) -> None:
    solids.cluster()
    solids.cone((x, y, 0.02), (x, y, 1.5), (0.02, 0.015), IRON)
    solids.ellipsoid((x, y, 0.02), (0.16, 0.16, 0.03), IRON)
    add_shade(solids, (x, y, 1.55), 0.19, glow)


def add_table_lamp(solids: Assembly, x: float, y: float, table: float, glow: float) -> None:
    solids.cluster()
    solids.cone((x, y, table + 0.05), (x, y, table + 0.20), (0.07, 0.04), Material((0.35, 0.22, 0.14), gloss=0.5))
    solids.cone((x, y, table + 0.2), (x, y, table + 0.32), (0.012, 0.012), IRON)
    add_shade(solids, (x, y, table + 0.40), 0.15, glow)


def add_shade(solids: Assembly, spot: tuple[float, float, float], radius: float, glow: float) -> None:
    """Add a lamp shade, which emits light if `glow` is positive."""
    shade = Material((1.0, 0.80, 0.50) if glow else (0.85, 0.80, 0.70), Texture.PLAIN, 0.0, glow)
    x, y, z = spot
    for level in range(3):  # three boxes of decreasing width; round cones would be egg-shaped
        wide = radius * (1.0 - 0.13 * level)
        solids.box((x, y, z + radius * (0.42 * level - 0.3)), (wide, wide, radius * 0.21), shade)
