"""Heads: skull, face, hair, hats and glasses, detailed enough for an extreme close up."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from data_pipeline.studio.appearances import Appearance, Hair, Hat
from data_pipeline.studio.camera import Array
from data_pipeline.studio.solids import IDENTITY_ROTATION, Assembly, Colour, Material, Texture

Local = tuple[float, float, float]
IRISES: tuple[Colour, ...] = ((0.20, 0.12, 0.07), (0.22, 0.32, 0.38), (0.28, 0.30, 0.16))


class _Head:
    """Local coordinates of a head: metres from its centre, x to the figure's left, y ahead, z up."""

    def __init__(self, solids: Assembly, centre: Array, turn: Array, scale: float, appearance: Appearance) -> None:
        self.solids, self.centre, self.turn, self.scale, self.appearance = solids, centre, turn, scale, appearance
        self.skin = Material(appearance.skin, Texture.SKIN, 0.14)
        self.hair = Material(appearance.hair, Texture.HAIR, 0.25)

    def to_stage(self, spot: Local) -> Array:
        return np.asarray(self.centre + self.turn @ (np.array(spot) * self.scale))

    def ball(
        self, centre: Local, radii: Local, material: Material, softness: float = 0.0, lean: Array = IDENTITY_ROTATION
    ) -> None:
        self.solids.ellipsoid(
            self.to_stage(centre), np.array(radii) * self.scale, material, self.turn @ lean, softness * self.scale
        )

    def cone(
        self, first: Local, second: Local, radii: tuple[float, float], material: Material, softness: float = 0.0
    ) -> None:
        radii = (radii[0] * self.scale, radii[1] * self.scale)
        self.solids.cone(self.to_stage(first), self.to_stage(second), radii, material, softness * self.scale)


def add_head(solids: Assembly, centre: Array, turn: Array, scale: float, appearance: Appearance) -> None:
    """Add the head of a person at a centre on the stage."""
    head = _Head(solids, centre, turn, scale, appearance)
    _add_skull(head)
    for side in (-1, 1):
        _add_eye(head, side)
    _add_nose_and_mouth(head)
    _add_hair(head)
    _add_hat(head)
    if appearance.glasses:
        _add_glasses(head)


def _add_skull(head: _Head) -> None:
    skin = head.skin
    head.ball((0, 0, 0.012), (0.077, 0.098, 0.105), skin, 0.03)
    head.ball((0, 0.024, -0.050), (0.060, 0.070, 0.070), skin, 0.03)
    head.ball((0, 0.062, -0.096), (0.030, 0.028, 0.022), skin, 0.03)
    for side in (-1, 1):
        head.ball((side * 0.078, -0.006, -0.008), (0.012, 0.022, 0.031), skin.shade(0.96), 0.01)
        head.ball((side * 0.038, 0.060, -0.022), (0.026, 0.026, 0.026), skin, 0.03)


def _add_eye(head: _Head, side: int) -> None:
    skin, x = head.skin, side * 0.0325
    iris = IRISES[int(sum(head.appearance.hair) * 1000) % len(IRISES)]
    head.ball((x, 0.0815, 0.015), (0.0145, 0.0125, 0.0120), Material((0.90, 0.88, 0.85), gloss=0.7))
    head.ball((x, 0.0905, 0.0145), (0.0068, 0.0045, 0.0068), Material(iris, gloss=0.8))
    head.ball((x, 0.0935, 0.0145), (0.0034, 0.0020, 0.0034), Material((0.01, 0.01, 0.01), gloss=0.9))
    head.ball((x, 0.0815, 0.0235), (0.0175, 0.0145, 0.0080), skin.shade(0.92), 0.008)
    head.ball((x, 0.0800, 0.0055), (0.0165, 0.0140, 0.0050), skin.shade(0.96), 0.008)
    head.cone(
        (x - side * 0.0155, 0.0905, 0.0205), (x + side * 0.0155, 0.0865, 0.0195), (0.0014, 0.0014), head.hair.shade(0.6)
    )
    thick = 0.0048 if head.appearance.hair_style in (Hair.SHORT, Hair.BALD) else 0.0034
    head.cone(
        (side * 0.016, 0.0915, 0.0385), (side * 0.050, 0.0760, 0.0420), (thick, thick * 0.6), head.hair.shade(0.9)
    )


def _add_nose_and_mouth(head: _Head) -> None:
    skin = head.skin
    head.cone((0, 0.088, 0.022), (0, 0.109, -0.024), (0.0072, 0.0105), skin, 0.016)
    for side in (-1, 1):
        head.ball((side * 0.0105, 0.0985, -0.0275), (0.0080, 0.0095, 0.0065), skin, 0.010)
    red, green, blue = head.appearance.skin
    lips = Material((red * 0.84, green * 0.60, blue * 0.58), Texture.SKIN, 0.12)
    head.cone((-0.017, 0.0915, -0.0580), (0.017, 0.0915, -0.0580), (0.0040, 0.0040), lips, 0.004)
    head.cone((-0.011, 0.0925, -0.0655), (0.011, 0.0925, -0.0655), (0.0052, 0.0052), lips, 0.004)
    head.cone((-0.017, 0.0955, -0.0618), (0.017, 0.0955, -0.0618), (0.0011, 0.0011), Material((0.18, 0.06, 0.06)))
    if head.appearance.beard:
        beard = head.hair.shade(0.95)
        head.ball((0, 0.026, -0.078), (0.062, 0.073, 0.052), beard, 0.02)
        head.ball((0, 0.066, -0.100), (0.034, 0.030, 0.026), beard, 0.02)
        head.cone((-0.022, 0.0905, -0.0465), (0.022, 0.0905, -0.0465), (0.0065, 0.0065), beard, 0.006)


def _pitch_rotation(degrees: float) -> Array:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])


def _add_hair(head: _Head) -> None:
    style, hair = head.appearance.hair_style, head.hair
    if style is Hair.BALD:
        return
    head.ball((0, -0.020, 0.032), (0.087, 0.100, 0.100), hair, 0.03, _pitch_rotation(20))
    if style is Hair.SHORT:
        head.ball((0, 0.030, 0.088), (0.060, 0.058, 0.036), hair, 0.03)
    if style is Hair.LONG:
        for side in (-1, 1):
            head.cone((side * 0.066, -0.030, 0.030), (side * 0.080, -0.035, -0.19), (0.038, 0.034), hair, 0.03)
        head.cone((0, -0.065, 0), (0, -0.080, -0.22), (0.066, 0.055), hair, 0.03)
        head.ball((0, 0.026, 0.090), (0.064, 0.060, 0.034), hair, 0.03)
    if style is Hair.BUN:
        head.ball((0, -0.105, 0.065), (0.045, 0.042, 0.045), hair, 0.02)
    if style is Hair.CURLY:
        for number in range(11):
            angle = number / 11 * 2 * np.pi
            spot = (0.078 * np.cos(angle), -0.025 + 0.078 * np.sin(angle), 0.075 - 0.03 * (np.sin(angle) < 0))
            head.ball(spot, (0.040, 0.040, 0.040), hair, 0.01)
        head.ball((0, -0.02, 0.105), (0.07, 0.07, 0.045), hair, 0.01)


def _add_hat(head: _Head) -> None:
    if head.appearance.hat is Hat.NONE:
        return
    felt = Material((0.20, 0.17, 0.15) if head.appearance.hat is Hat.BRIM else head.appearance.under, Texture.CLOTH)
    head.ball((0, -0.008, 0.085), (0.093, 0.107, 0.062), felt, 0.02)
    if head.appearance.hat is Hat.BRIM:
        head.ball((0, -0.005, 0.072), (0.150, 0.165, 0.010), felt)
        head.ball((0, -0.008, 0.125), (0.080, 0.095, 0.040), felt, 0.02)
    else:
        head.ball((0, 0.115, 0.070), (0.065, 0.065, 0.008), felt)


def _add_glasses(head: _Head) -> None:
    frame = Material((0.05, 0.05, 0.06), gloss=0.6)
    for side in (-1, 1):
        rim = [(side * 0.0325 + 0.021 * np.cos(a), 0.101, 0.0135 + 0.017 * np.sin(a)) for a in np.arange(9) * np.pi / 4]
        for start, end in pairwise(rim):
            head.cone(start, end, (0.0017, 0.0017), frame)
        head.cone((side * 0.0535, 0.100, 0.016), (side * 0.080, 0.005, 0.016), (0.0016, 0.0016), frame)
    head.cone((-0.0115, 0.102, 0.017), (0.0115, 0.102, 0.017), (0.0016, 0.0016), frame)
