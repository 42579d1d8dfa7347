"""The figures who stand on the stage: anatomy, looks, and how much of the picture they take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_pipeline.studio.camera import Array, Camera, Point, Size
from data_pipeline.studio.solids import Colour, Round, Thing, ball, limb, skin

STATURE = 1.75
EYE_HEIGHT = 1.635

SKIN_TONES: tuple[Colour, ...] = ((0.93, 0.74, 0.60), (0.80, 0.58, 0.43), (0.56, 0.37, 0.26), (0.97, 0.82, 0.71))
HAIR_TONES: tuple[Colour, ...] = ((0.13, 0.09, 0.07), (0.42, 0.25, 0.12), (0.75, 0.57, 0.28), (0.30, 0.30, 0.32))
SHIRTS: tuple[Colour, ...] = (
    (0.80, 0.13, 0.12),
    (0.14, 0.36, 0.76),
    (0.93, 0.72, 0.14),
    (0.15, 0.56, 0.30),
    (0.55, 0.22, 0.60),
    (0.90, 0.90, 0.88),
    (0.90, 0.45, 0.12),
)
TROUSERS: tuple[Colour, ...] = ((0.15, 0.18, 0.33), (0.28, 0.26, 0.25), (0.38, 0.31, 0.22))


@dataclass(frozen=True)
class Look:
    """The colours and hair of one figure."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    long_hair: bool


def looks(rng: np.random.Generator, count: int) -> tuple[Look, ...]:
    """A cast whose shirts all differ, as far as there are shirts."""
    shirts = rng.permutation(len(SHIRTS))
    return tuple(
        Look(
            SKIN_TONES[int(rng.integers(len(SKIN_TONES)))],
            HAIR_TONES[int(rng.integers(len(HAIR_TONES)))],
            SHIRTS[int(shirts[number % len(SHIRTS)])],
            TROUSERS[int(rng.integers(len(TROUSERS)))],
            bool(rng.integers(2)),
        )
        for number in range(count)
    )


def _dim(colour: Colour, share: float) -> Colour:
    return (colour[0] * share, colour[1] * share, colour[2] * share)


def _mark(centre: Point, radii: Point, colour: Colour, nearness: float, shaded: bool = True) -> Round:
    """A mark on the face; it is seen only from the side it looks to."""
    outward = (centre[0] * 9, 0.8, 0.0)
    return Round((centre, centre), (radii, radii), colour, nearness, outward, shaded)


def _eye(side: int, look: Look) -> tuple[Round, ...]:
    x = 0.031 * side
    return (
        _mark((x, 0.085, 1.637), (0.0195, 0.008, 0.0125), _dim(look.skin, 0.68), 0.20),
        _mark((x, 0.087, 1.635), (0.0165, 0.008, 0.0090), (0.95, 0.94, 0.92), 0.21),
        _mark((x, 0.092, 1.635), (0.0082, 0.004, 0.0086), (0.25, 0.38, 0.42), 0.22),
        _mark((x, 0.094, 1.635), (0.0040, 0.003, 0.0042), (0.03, 0.03, 0.03), 0.23),
        _mark((x + 0.003, 0.096, 1.638), (0.0015, 0.001, 0.0015), (1.0, 1.0, 1.0), 0.24),
        _mark((x * 1.06, 0.088, 1.661), (0.0220, 0.008, 0.0050), look.hair, 0.22),
    )


def _head(look: Look) -> tuple[Round, ...]:
    lip = (look.skin[0] * 0.80, look.skin[1] * 0.52, look.skin[2] * 0.50)
    skull = Round(
        ((0, 0.012, 1.65), (0, 0.030, 1.575)), ((0.074, 0.084, 0.080), (0.052, 0.060, 0.055)), look.skin, 0.03
    )
    hair = Round(((0, -0.022, 1.675), (0, -0.035, 1.65)), ((0.086, 0.094, 0.098), (0.080, 0.075, 0.09)), look.hair, 0.0)
    crown = ball((0, -0.012, 1.715), (0.076, 0.088, 0.055), look.hair, 0.012)
    fringe = _mark((0, 0.062, 1.722), (0.068, 0.016, 0.017), look.hair, 0.25)
    mane = limb((0, -0.06, 1.66), (0, -0.07, 1.44), 0.085, 0.075, look.hair, -0.02)
    ears = tuple(ball((0.076 * side, -0.005, 1.628), (0.012, 0.02, 0.03), _dim(look.skin, 0.9)) for side in (-1, 1))
    nose = Round(((0, 0.090, 1.640), (0, 0.106, 1.598)), ((0.007, 0.008, 0.01), (0.014, 0.016, 0.012)), look.skin, 0.26)
    under_nose = _mark((0, 0.100, 1.588), (0.015, 0.010, 0.006), _dim(look.skin, 0.66), 0.25)
    mouth = _mark((0, 0.090, 1.563), (0.025, 0.008, 0.0075), lip, 0.22)
    lips = _mark((0, 0.092, 1.563), (0.022, 0.008, 0.0014), _dim(lip, 0.5), 0.23)
    eyes = (*_eye(-1, look), *_eye(1, look))
    return (
        hair,
        skull,
        crown,
        fringe,
        *ears,
        nose,
        under_nose,
        mouth,
        lips,
        *eyes,
        *((mane,) if look.long_hair else ()),
    )


def _body(look: Look) -> tuple[Round, ...]:
    shirt, trousers, shoe = look.shirt, look.trousers, (0.10, 0.08, 0.08)
    torso = Round(((0, 0, 1.285), (0, 0, 1.02)), ((0.185, 0.105, 0.165), (0.145, 0.095, 0.12)), shirt, 0.02)
    shoulders = Round(((-0.15, 0, 1.40), (0.15, 0, 1.40)), ((0.06, 0.065, 0.055),) * 2, shirt, 0.021)
    collar = _mark((0, 0.062, 1.452), (0.050, 0.02, 0.016), look.skin, 0.15)
    hips = Round(((0, 0, 0.95), (0, 0, 0.88)), ((0.150, 0.1, 0.08), (0.155, 0.1, 0.08)), trousers, 0.0)
    neck = limb((0, 0, 1.44), (0, 0.01, 1.56), 0.052, 0.048, _dim(look.skin, 0.86), 0.01)
    parts: list[Round] = [torso, shoulders, collar, hips, neck]
    for side in (-1, 1):
        elbow, wrist = (0.235 * side, -0.01, 1.12), (0.235 * side, 0.06, 0.90)
        knee, ankle = (0.095 * side, 0.02, 0.49), (0.10 * side, 0, 0.09)
        parts += [
            limb((0.20 * side, 0, 1.385), elbow, 0.056, 0.043, _dim(shirt, 0.94)),
            limb(elbow, wrist, 0.042, 0.034, _dim(shirt, 0.94)),
            ball((0.235 * side, 0.075, 0.835), (0.026, 0.034, 0.052), look.skin, 0.01),
            limb((0.082 * side, 0, 0.87), knee, 0.083, 0.060, trousers),
            limb(knee, ankle, 0.060, 0.045, _dim(trousers, 0.94)),
            limb((0.10 * side, -0.03, 0.045), (0.115 * side, 0.14, 0.035), 0.045, 0.035, shoe),
        ]
    return tuple(parts)


def figure(look: Look, x: float = 0.0, y: float = 0.0, turn: float = 0.0, scale: float = 1.0) -> Thing:
    """A figure on a spot. Turned 0 it looks at the audience, turned 90 to the right of the picture."""
    return Thing((x, y, 0.0), (), (*_body(look), *_head(look)), turn, scale, is_figure=True)


def figure_outline(camera: Camera, thing: Thing, size: Size) -> Array:
    """Pixels of points all over a figure, those in front of the camera."""
    seen = camera.see(skin(thing, 40).reshape(-1, 3))
    return camera.image(seen[seen[:, 2] > 0.05], size)


def figure_height(camera: Camera, thing: Thing, size: Size) -> float:
    """How high the figure is, as a share of the frame's height; more than 1 when it is cropped."""
    rows = figure_outline(camera, thing, size)[:, 1]
    return float(rows.max() - rows.min()) / size[1]
