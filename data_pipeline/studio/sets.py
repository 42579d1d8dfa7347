"""The sets a stage can be dressed as: a plaza, a field, an avenue and a room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_pipeline.studio.pieces import bench, block_wall, bollard, building, built, joined, post, tiles, tree, varied
from data_pipeline.studio.solids import Colour, Thing, ball, box, limb, lying, quad, upright


@dataclass(frozen=True)
class Scenery:
    """A dressed stage before the figures come on. The backdrop is painted first, the things are sorted by distance."""

    ground: Colour
    floor: Thing
    backdrop: tuple[Thing, ...] = ()
    things: tuple[Thing, ...] = ()
    wall: float | None = None


def plaza(rng: np.random.Generator) -> Scenery:
    stone, brick = (0.62, 0.61, 0.59), [(0.70, 0.42, 0.33), (0.66, 0.60, 0.48)][int(rng.integers(2))]
    tints = [(0.62, 0.66, 0.72), (0.74, 0.66, 0.54), (0.58, 0.60, 0.62), (0.70, 0.58, 0.52)]
    houses = tuple(
        building(-34 + 13.5 * spot, float(rng.uniform(17, 27)), 10, 9, float(rng.uniform(9, 17)), tints[spot % 4])
        for spot in range(5)
    )
    side = float(rng.choice([-1, 1]))
    road = built(
        (
            lying(-200, 200, 8, 14, 0, (0.36, 0.36, 0.38)),
            *(lying(x, x + 3, 10.9, 11.1, 0, (0.85, 0.85, 0.82)) for x in np.arange(-81, 80, 6.0).tolist()),
            *tiles((0.56, 0.55, 0.54), rng, 1.5, 0.05).faces,
        )
    )
    blocks = tuple(
        building(
            -60 + 21.0 * spot, float(rng.uniform(48, 56)), 15, 12, float(rng.uniform(14, 26)), tints[(spot + 1) % 4]
        )
        for spot in range(6)
    )
    return Scenery(
        stone,
        road,
        (joined(blocks), joined(houses), block_wall(5.5, 12, 2.3, brick, rng)),
        (
            post(-3.6, 3.2, 3.6),
            post(4.1, 3.6, 3.6),
            bollard(-2.3 * side, 0.9),
            bollard(1.9 * side, 2.0),
            bollard(3.2, -0.4),
            bench(-1.8 * side, 4.2),
        ),
        5.5,
    )


def field(rng: np.random.Generator) -> Scenery:
    hill = (0.42, 0.55, 0.46)
    hills = built(
        rounds=tuple(
            ball(
                (-130 + 65 * spot, 170 + 12 * (spot % 2), -6),
                (60.0, 20.0, float(rng.uniform(17, 30))),
                varied(hill, rng, 0.12),
            )
            for spot in range(5)
        )
    )
    spots = [
        (-6.5, 9.0),
        (5.2, 7.0),
        (-2.6, 15.0),
        (9.5, 14.0),
        (-12.0, 21.0),
        (2.4, 26.0),
        (16.0, 30.0),
        (-22.0, 38.0),
    ]
    trees = tuple(
        tree(x + float(rng.uniform(-1, 1)), y, float(rng.uniform(3.6, 5.4)) + y * 0.06, rng) for x, y in spots
    )
    fence = tuple(
        built(rounds=(limb((x, 4.6, 0), (x, 4.6, 0.95), 0.06, 0.05, (0.45, 0.33, 0.22)),))
        for x in np.arange(-9, 9.1, 1.5).tolist()
    )
    grass = varied((0.42, 0.60, 0.28), rng, 0.05)
    tufts = tiles((0.40, 0.57, 0.265), rng, 2.0, 0.05)
    crops = (
        (-90, -20, 34, 60, (0.62, 0.60, 0.28)),
        (-15, 40, 40, 75, (0.34, 0.52, 0.24)),
        (45, 110, 30, 66, (0.55, 0.50, 0.30)),
    )
    fields = tuple(lying(left, right, near, far, 0, colour) for left, right, near, far, colour in crops)
    track = quad([(-13, -30, 0), (-10.5, -30, 0), (-14, 120, 0), (-16.5, 120, 0)], (0.62, 0.54, 0.40))
    return Scenery(grass, built((*fields, track, *tufts.faces)), (hills,), (*trees, *fence))


def heath(rng: np.random.Generator) -> Scenery:
    """Open ground with nothing on it, so that figures stand clear against the sky."""
    ridge = built(
        rounds=tuple(
            ball((-160 + 160 * spot, 260, -4), (120.0, 20.0, float(rng.uniform(9, 15))), (0.40, 0.46, 0.36))
            for spot in range(3)
        )
    )
    return Scenery((0.46, 0.50, 0.30), tiles((0.44, 0.48, 0.29), rng, 2.0, 0.06), (ridge,))


def avenue(rng: np.random.Generator) -> Scenery:
    """A mirror-like set: the left half is the right half turned over."""
    tint = varied((0.70, 0.64, 0.56), rng, 0.1)
    rows = tuple(post(x, y, 3.4) for y in (1.0, 4.0, 7.0, 10.0, 13.0) for x in (-2.4, 2.4))
    hedges = tuple(built(box(x - 0.5, x + 0.5, -2, 16, 0, 0.7, (0.24, 0.45, 0.24))) for x in (-3.6, 3.6))
    path = built((lying(-2.0, 2.0, -12, 19, 0, (0.72, 0.68, 0.60)),))
    gate = building(-9, 19, 18, 8, 11, tint)
    return Scenery((0.45, 0.58, 0.33), path, (gate,), (*hedges, *rows))


def room(rng: np.random.Generator) -> Scenery:
    paper = [(0.72, 0.69, 0.62), (0.60, 0.68, 0.70), (0.70, 0.62, 0.58)][int(rng.integers(3))]
    high, half, back, front = 3.0, 4.6, 2.4, -8.0
    stripe = (paper[0] * 0.92, paper[1] * 0.92, paper[2] * 0.92)
    stripes = [upright(x, x + 0.35, 0, high, back - 0.001, stripe) for x in np.arange(-half, half - 0.3, 0.7).tolist()]
    side = float(rng.choice([-1, 1]))
    frame = [
        upright(1.5 * side - 0.55, 1.5 * side + 0.55, 1.25, 2.05, back - 0.002, (0.34, 0.22, 0.13)),
        upright(1.5 * side - 0.47, 1.5 * side + 0.47, 1.33, 1.97, back - 0.003, (0.55, 0.66, 0.62)),
    ]
    sides = [
        quad([(-half, front, 0), (-half, back, 0), (-half, back, high), (-half, front, high)], paper),
        quad([(half, back, 0), (half, front, 0), (half, front, high), (half, back, high)], paper),
        quad([(-half, back, high), (half, back, high), (half, front, high), (-half, front, high)], (0.80, 0.79, 0.76)),
    ]
    planks = built(
        tuple(
            lying(x, x + 0.3, front, back, 0, varied((0.46, 0.31, 0.20), rng, 0.1))
            for x in np.arange(-half, half, 0.6).tolist()
        )
    )
    walls = built((*sides, upright(-half, half, 0, high, back, paper), *stripes, *frame))
    table = built(box(-2.6 * side - 0.6, -2.6 * side + 0.6, 1.6, 2.2, 0, 0.74, (0.42, 0.26, 0.15)))
    return Scenery((0.42, 0.28, 0.18), planks, (walls,), (table,), back)


SETS: dict[str, Callable[[np.random.Generator], Scenery]] = {
    "plaza": plaza,
    "field": field,
    "heath": heath,
    "avenue": avenue,
    "room": room,
}
OUTDOORS: tuple[str, ...] = ("plaza", "field")
