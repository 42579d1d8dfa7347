"""Pieces of scenery: tiles, walls, houses, posts, trees and benches."""

from __future__ import annotations

import numpy as np

from data_pipeline.studio.solids import Colour, Face, Round, Thing, ball, box, limb, lying, upright

AS_BUILT = 180.0  # the turn that leaves a thing's points where they were written down


def built(faces: tuple[Face, ...] = (), rounds: tuple[Round, ...] = ()) -> Thing:
    return Thing(faces=faces, rounds=rounds, turn=AS_BUILT)


def joined(things: tuple[Thing, ...]) -> Thing:
    """Things that never hide each other, as one: painted faster."""
    return built(tuple(face for thing in things for face in thing.faces))


def varied(colour: Colour, rng: np.random.Generator, spread: float) -> Colour:
    share = 1 + float(rng.uniform(-spread, spread))
    return (colour[0] * share, colour[1] * share, colour[2] * share)


def tiles(colour: Colour, rng: np.random.Generator, step: float, spread: float) -> Thing:
    """Every other tile of the floor; the ground shows between them and reads as the rest of the pattern."""
    columns, rows = range(-7, 7), range(-5, 11)
    spots = [(column, row) for row in rows for column in columns if (row + column) % 2]
    return built(
        tuple(
            lying(c * step, (c + 1) * step, r * step, (r + 1) * step, 0, varied(colour, rng, spread)) for c, r in spots
        )
    )


def block_wall(y: float, half: float, high: float, colour: Colour, rng: np.random.Generator, rows: int = 5) -> Thing:
    """A wall of long blocks, every second course shifted by half a block."""
    faces = [upright(-half, half, 0, high, y, varied(colour, rng, 0.0))]
    course, block = high / rows, 1.1
    for row in range(rows):
        start = -half + (block / 2 if row % 2 else 0)
        for left in np.arange(start, half - block, block * 2):
            faces.append(
                upright(
                    float(left),
                    float(left) + block,
                    row * course,
                    (row + 1) * course - 0.03,
                    y - 0.001,
                    varied(colour, rng, 0.14),
                )
            )
    return built(tuple(faces))


def building(left: float, near: float, wide: float, deep: float, high: float, colour: Colour) -> Thing:
    """A house with windows on the sides that can be seen."""
    pane = (colour[0] * 0.42, colour[1] * 0.46, colour[2] * 0.54)
    faces = list(box(left, left + wide, near, near + deep, 0, high, colour))
    columns, floors = max(2, int(wide / 2.6)), max(2, int(high / 3))
    across, rise = wide / columns, high / floors
    for column in range(columns):
        for floor in range(floors):
            x, z = left + (column + 0.28) * across, (floor + 0.3) * rise
            faces.append(upright(x, x + 0.44 * across, z, z + 0.45 * rise, near - 0.01, pane))
    return built(tuple(faces))


def post(x: float, y: float, high: float, colour: Colour = (0.22, 0.22, 0.24), thick: float = 0.06) -> Thing:
    lamp = ball((x, y, high + 0.16), 0.19, (0.86, 0.85, 0.78))
    return built(rounds=(limb((x, y, 0), (x, y, high), thick * 1.3, thick, colour), lamp))


def bollard(x: float, y: float) -> Thing:
    return built(rounds=(limb((x, y, 0.05), (x, y, 0.72), 0.10, 0.09, (0.30, 0.31, 0.34)),))


def tree(x: float, y: float, high: float, rng: np.random.Generator) -> Thing:
    leaf = varied((0.20, 0.44, 0.19), rng, 0.18)
    crown = (high * 0.27, high * 0.27, high * 0.34)
    return built(
        rounds=(
            limb((x, y, 0), (x, y, high * 0.6), high * 0.045, high * 0.03, (0.30, 0.21, 0.14)),
            ball((x, y, high * 0.66), crown, leaf, 0.1),
            ball(
                (x - high * 0.12, y, high * 0.6),
                (high * 0.2,) * 3,
                (leaf[0] * 0.9, leaf[1] * 0.9, leaf[2] * 0.9),
                0.2,
            ),
        )
    )


def bench(x: float, y: float) -> Thing:
    legs = (
        *box(x - 0.7, x - 0.55, y, y + 0.35, 0, 0.4, (0.25, 0.25, 0.27)),
        *box(x + 0.55, x + 0.7, y, y + 0.35, 0, 0.4, (0.25, 0.25, 0.27)),
    )
    return built((*legs, *box(x - 0.85, x + 0.85, y - 0.05, y + 0.4, 0.4, 0.48, (0.55, 0.36, 0.20))))
