"""Bodies: the round solids of people who stand, sit, turn their heads and walk.

A figure is built in its own space (y ahead, z up) for a stature of 1.75 m and then scaled, turned and placed.
`heads.py` builds the head.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from data_pipeline.studio.camera import Array
from data_pipeline.studio.figures import Figure
from data_pipeline.studio.heads import add_head
from data_pipeline.studio.looks import Outfit
from data_pipeline.studio.poses import SEAT, Arm, Pose
from data_pipeline.studio.solids import Assembly, Material, Texture, turned

Local = tuple[float, float, float]


def build_body(figure: Figure) -> Assembly:
    """All solids of a figure."""
    space, pose = _Space(figure), figure.pose
    _add_legs(space)
    space.solids.cluster()
    _add_torso(space)
    for side, arm in ((-1, pose.right), (1, pose.left)):
        space.solids.cluster()
        _add_arm(space, side, arm)
    space.solids.cluster()
    turn = space.turn @ turned(pose.head_turn) @ _pitched(pose.head_tilt)
    add_head(space.solids, np.array(space.high((0.0, 0.02, 1.645))), turn, figure.scale, figure.look)
    return space.solids


def body_balls(figure: Figure) -> tuple[tuple[float, ...], ...]:
    """Balls (centre, radius) that stand for the body where it keeps ambient light from what is near."""
    space = _Space(figure)
    balls: list[tuple[Local, float]] = [((0, 0, 1.65), 0.10), ((0, 0, 1.28), 0.17), ((0, 0, 1.0), 0.15)]
    for _, knee, ankle in _legs(figure.pose):
        balls += [((ankle[0], ankle[1] + 0.05, 0.07), 0.10), (knee, 0.09)]
    return tuple(
        (*space.place((x, y, z - (space.lift if z > 0.9 else 0.0))), radius * figure.scale)
        for (x, y, z), radius in balls
    )


class _Space:
    """A figure's own space and the solids built in it."""

    def __init__(self, figure: Figure) -> None:
        self.figure, self.look = figure, figure.look
        self.solids = Assembly()
        self.turn = turned(figure.facing)
        self.scale = figure.scale
        self.lift = SEAT if figure.pose.sitting else _sinking(figure.pose.walk)

    def place(self, spot: npt.ArrayLike) -> Array:
        """A spot of the figure's space on the stage."""
        placed = self.turn @ (np.asarray(spot, dtype=np.float64) * self.scale)
        return np.asarray(placed + np.array([self.figure.x, self.figure.y, 0.0]))

    def high(self, spot: npt.ArrayLike) -> Array:
        """A spot above the hips, which come down when the figure sits."""
        return self.place(np.asarray(spot, dtype=np.float64) - np.array([0.0, 0.0, self.lift]))

    def limb(
        self, start: Array, end: Array, radii: tuple[float, float], material: Material, softness: float = 0.03
    ) -> None:
        self.solids.cone(start, end, (radii[0] * self.scale, radii[1] * self.scale), material, softness * self.scale)

    def lump(self, centre: Local, radii: Local, material: Material, softness: float = 0.06) -> None:
        self.solids.ellipsoid(
            self.high(centre), np.array(radii) * self.scale, material, self.turn, softness * self.scale
        )


def _pitched(degrees: float) -> Array:
    """A turn about the figure's x axis that raises what lies ahead."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])


def _rolled(degrees: float) -> Array:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])


def _sinking(walk: float | None) -> float:
    """The hips sink a little when the legs are apart."""
    return 0.0 if walk is None else 0.035 * abs(math.sin(2 * math.pi * walk))


def _legs(pose: Pose) -> tuple[tuple[Local, Local, Local], ...]:
    """Hip, knee and ankle of both legs, the figure's right one first."""
    return tuple(_leg(pose, side) for side in (-1, 1))


def _leg(pose: Pose, side: int) -> tuple[Local, Local, Local]:
    if pose.sitting:
        return (side * 0.095, 0.0, 0.93 - SEAT), (side * 0.11, 0.42, 0.93 - SEAT), (side * 0.11, 0.44, 0.09)
    hip: Local = (side * 0.095, 0.0, 0.93 - _sinking(pose.walk))
    if pose.walk is None:
        ahead = side * pose.stride
        return hip, (side * 0.105, ahead * 1.1 + 0.02, 0.50), (side * 0.11, ahead * 2, 0.09)
    phase = 2 * math.pi * pose.walk + (math.pi if side > 0 else 0.0)
    swing = 0.42 * math.sin(phase)
    bend = 0.12 + 0.75 * max(0.0, math.cos(phase)) ** 2  # the leg that comes forward is bent
    knee = (side * 0.1, 0.43 * math.sin(swing + 0.12), hip[2] - 0.43 * math.cos(swing + 0.12))
    shin = swing + 0.12 - bend
    ankle = (side * 0.1, knee[1] + 0.41 * math.sin(shin), max(0.09, knee[2] - 0.41 * math.cos(shin)))
    return hip, knee, ankle


def _add_legs(space: _Space) -> None:
    look, legs = space.look, space.look.legs
    shoe = Material(look.shoes, gloss=0.4)
    bare = Material(look.skin, Texture.SKIN, 0.15)
    for hip, knee, ankle in _legs(space.figure.pose):
        shin = bare if look.outfit is Outfit.DRESS else legs
        space.limb(space.place(hip), space.place(knee), (0.092 * look.build, 0.062), legs)
        space.limb(space.place(knee), space.place(ankle), (0.060, 0.045), shin)
        foot = np.array(ankle)
        heel, toe = foot + np.array([0, -0.03, -0.045]), foot + np.array([0, 0.15, -0.052])
        space.limb(space.place(heel), space.place(toe), (0.045, 0.036), shoe, 0.0)
    space.limb(
        space.high((-0.06, 0, 0.97)), space.high((0.06, 0, 0.97)), (0.105 * look.build, 0.105 * look.build), legs
    )
    if look.outfit in (Outfit.DRESS, Outfit.COAT) and not space.figure.pose.sitting:
        hem = 0.60 if look.outfit is Outfit.DRESS else 0.68
        for side in (-0.068, 0.068):
            waist, end = space.high((side, 0, 1.02)), space.high((side * 1.1, 0.01, hem))
            space.limb(waist, end, (0.122 * look.build, 0.130), look.top, 0.08)


def _add_torso(space: _Space) -> None:
    look, wide = space.look, space.look.build
    top = look.top
    space.lump((0, 0, 1.10), (0.150 * wide, 0.112 * wide, 0.19), top)
    space.lump((0, 0.003, 1.29), (0.178 * wide, 0.118 * wide, 0.20), top)
    space.limb(space.high((-0.145, -0.005, 1.405)), space.high((0.145, -0.005, 1.405)), (0.064, 0.064), top, 0.06)
    space.lump((0, -0.008, 1.43), (0.13, 0.075, 0.072), top)
    skin = Material(look.skin, Texture.SKIN, 0.15)
    space.limb(space.high((0, -0.008, 1.44)), space.high((0, 0.012, 1.56)), (0.057, 0.053), skin, 0.03)
    if look.outfit is Outfit.JACKET:
        shirt = Material(look.under, Texture.CLOTH)
        space.lump((0, 0.040, 1.32), (0.060, 0.093, 0.155), shirt, 0.0)
        space.lump((0, 0.020, 1.445), (0.068, 0.068, 0.035), shirt, 0.0)
    else:
        space.lump((0, 0.0, 1.468), (0.072, 0.068, 0.028), top.shade(0.9), 0.0)


def _add_arm(space: _Space, side: int, arm: Arm) -> None:
    look, pose = space.look, space.figure.pose
    swing = arm.swing
    if pose.walk is not None:
        swing += -side * -28.0 * math.sin(2 * math.pi * pose.walk)
    shoulder = np.array([side * 0.182 * look.build, 0.0, 1.405])
    upper = _pitched(swing) @ _rolled(-side * arm.spread)
    elbow = shoulder + upper @ np.array([0, 0, -0.29])
    lower = _pitched(swing + arm.bend) @ _rolled(-side * arm.spread * 0.4)
    wrist = elbow + lower @ np.array([0, 0, -0.25])
    down = lower @ np.array([0, 0, -1.0])
    skin = Material(look.skin, Texture.SKIN, 0.15)
    sleeve = skin if look.outfit is Outfit.DRESS else look.top
    space.limb(space.high(shoulder), space.high(elbow), (0.057 * look.build, 0.045), look.top, 0.05)
    space.limb(space.high(elbow), space.high(wrist), (0.043, 0.033), sleeve)
    space.limb(space.high(wrist + down * 0.03), space.high(wrist + down * 0.10), (0.036, 0.030), skin, 0.02)
    for finger in (-1, 0, 1):
        root = wrist + down * 0.11 + lower @ np.array([0, finger * 0.02, 0])
        space.limb(space.high(root), space.high(root + down * 0.06), (0.012, 0.009), skin, 0.012)
    thumb = wrist + down * 0.05 + lower @ np.array([0, 0.035, 0])
    tip = thumb + down * 0.05 + lower @ np.array([0, 0.015, 0])
    space.limb(space.high(thumb), space.high(tip), (0.012, 0.009), skin, 0.012)
