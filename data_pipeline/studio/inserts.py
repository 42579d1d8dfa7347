"""Props for inserts: a table top and the object shown in close-up."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from data_pipeline.studio.camera import Array
from data_pipeline.studio.solids import Assembly, Colour, Material, Texture, heading_rotation
from data_pipeline.studio.take import Take

TOP = 0.75  # height of the table in metres
LIFT = 0.006  # height of a key's centre above the table in metres
BRASS = Material((0.78, 0.60, 0.24), gloss=0.8)
PAPER = Material((0.92, 0.90, 0.83), Texture.PRINT)
STEEL = Material((0.62, 0.63, 0.66), gloss=0.8)


def table(take: Take) -> Assembly:
    """A table top as large as the frame."""
    solids = Assembly()
    solids.box((0, 0, TOP - 0.02), (1.1, 0.75, 0.02), Material(take.style.palette.wood, Texture.WOOD, 0.25))
    return solids


def letter(take: Take, solids: Assembly) -> None:
    """A sheet of writing, a pen across it."""
    turn = heading_rotation(take.between(-25, 25))
    solids.box((0, 0, TOP + 0.002), (0.085, 0.12, 0.002), PAPER, turn)
    solids.box(
        (0.02, -0.03, TOP + 0.001),
        (0.12, 0.16, 0.001),
        Material(take.one_of(take.style.palette.accents)),
        heading_rotation(take.between(-40, 0)),
    )
    x, y = take.between(0.02, 0.08), take.between(-0.08, -0.02)
    solids.cone(
        (x, y, TOP + 0.010), (x + 0.09, y + 0.07, TOP + 0.010), (0.005, 0.005), Material((0.08, 0.08, 0.12), gloss=0.7)
    )
    solids.cone((x, y, TOP + 0.010), (x - 0.014, y - 0.011, TOP + 0.008), (0.0045, 0.001), BRASS)


def keys(take: Take, solids: Assembly) -> None:
    """Two keys on a ring."""
    lift = TOP + LIFT
    for number in range(14):
        angle, ahead = number / 14 * 2 * math.pi, (number + 1) / 14 * 2 * math.pi
        ring = [(0.026 * math.cos(a), 0.026 * math.sin(a), lift) for a in (angle, ahead)]
        solids.cone(ring[0], ring[1], (0.002, 0.002), STEEL)
    for way in (take.between(-70, -20), take.between(10, 60)):
        frame = heading_rotation(way)

        metal = take.one_of((BRASS, STEEL))
        solids.ellipsoid(_lying(frame, 0, 0.045), (0.017, 0.017, 0.0035), metal, frame)
        solids.cone(_lying(frame, 0, 0.055), _lying(frame, 0, 0.115), (0.004, 0.0035), metal)
        for along in (0.095, 0.107):
            solids.cone(_lying(frame, 0, along), _lying(frame, 0.011, along), (0.003, 0.003), metal)


def _lying(frame: Array, x: float, y: float) -> Array:
    """Return the position of a point of a rotated object on the table."""
    return np.asarray(frame @ np.array([x, y, TOP + LIFT]))


def telephone(take: Take, solids: Assembly) -> None:
    """A mobile phone with messages on its lit screen."""
    turn = heading_rotation(take.between(-30, 30))
    solids.box((0, 0, TOP + 0.005), (0.037, 0.076, 0.005), Material((0.04, 0.04, 0.05), gloss=0.9), turn)
    solids.box((0, 0, TOP + 0.0102), (0.034, 0.070, 0.0006), Material((0.70, 0.82, 0.95), glow=1.0), turn)
    bubbles: tuple[Colour, ...] = ((0.95, 0.95, 0.97), (0.20, 0.62, 0.30))
    for number in range(4):
        side = 1 if number % 2 else -1
        spot = turn @ (side * 0.009, 0.045 - 0.027 * number, 0.0) + (0, 0, TOP + 0.0110)
        solids.box(spot, (0.021, 0.010, 0.0006), Material(bubbles[number % 2], glow=0.9), turn)


def cup(take: Take, solids: Assembly) -> None:
    """A cup of coffee on its saucer, with a spoon next to it."""
    china = Material(take.one_of(((0.90, 0.88, 0.84), *take.style.palette.accents)), gloss=0.6)
    solids.ellipsoid((0, 0, TOP + 0.006), (0.080, 0.080, 0.007), china)
    for level in range(4):
        radius = 0.026 + 0.005 * level
        solids.cone(
            (0, 0, TOP + 0.018 + 0.015 * level),
            (0, 0, TOP + 0.026 + 0.015 * level),
            (radius, radius + 0.003),
            china,
            0.02,
        )
    solids.ellipsoid((0, 0, TOP + 0.110), (0.039, 0.039, 0.004), Material((0.16, 0.08, 0.04), gloss=0.7))
    handle = [(0.044 * 1.0, 0.0, 0.085), (0.068, 0.0, 0.075), (0.068, 0.0, 0.050), (0.042, 0.0, 0.038)]
    way = heading_rotation(take.between(40, 140))
    placed = [way @ (x, y, 0.0) + (0, 0, TOP + z) for x, y, z in handle]
    for start, end in pairwise(placed):
        solids.cone(start, end, (0.005, 0.005), china)
    solids.ellipsoid((-0.10, -0.05, TOP + 0.005), (0.012, 0.020, 0.003), STEEL)
    solids.cone((-0.10, -0.03, TOP + 0.005), (-0.085, 0.08, TOP + 0.006), (0.002, 0.003), STEEL)


def pocket_watch(take: Take, solids: Assembly) -> None:
    """A pocket watch, its chain laid in a curve."""
    solids.ellipsoid((0, 0, TOP + 0.008), (0.036, 0.036, 0.009), BRASS)
    solids.ellipsoid((0, 0, TOP + 0.0125), (0.031, 0.031, 0.006), Material((0.92, 0.90, 0.84), gloss=0.5))
    for hour in range(12):
        angle = hour * math.pi / 6
        solids.ellipsoid(
            (0.025 * math.sin(angle), 0.025 * math.cos(angle), TOP + 0.0165),
            (0.0018, 0.0018, 0.0012),
            Material((0.05, 0.05, 0.05)),
        )
    hour_angle, minute_angle = take.between(0, 6.28), take.between(0, 6.28)
    for angle, reach in ((hour_angle, 0.014), (minute_angle, 0.021)):
        solids.cone(
            (0, 0, TOP + 0.0195),
            (reach * math.sin(angle), reach * math.cos(angle), TOP + 0.0185),
            (0.0013, 0.0008),
            Material((0.05, 0.05, 0.05)),
        )
    solids.cone((0, 0.036, TOP + 0.008), (0, 0.050, TOP + 0.008), (0.006, 0.005), BRASS)
    bend = take.between(0.4, 1.2)
    for link in range(26):
        along = 0.055 + 0.008 * link
        x, y = along * math.sin(bend * along * 9) * 0.6, along * 0.8
        solids.ellipsoid((x, y, TOP + 0.004), (0.0042, 0.0030, 0.0028), BRASS, heading_rotation(link * 50))


SUBJECTS = (letter, keys, telephone, cup, pocket_watch)
FRAMES = {
    letter: (0.26, 0.34),
    keys: (0.19, 0.26),
    telephone: (0.19, 0.26),
    cup: (0.24, 0.34),
    pocket_watch: (0.15, 0.22),
}
