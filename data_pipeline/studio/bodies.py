"""Bodies: the round solids of people standing, sitting, walking and turning their heads.

A figure is built in local coordinates (y ahead, z up) for a stature of 1.75 m, then scaled, rotated and translated.
`heads.py` builds the head.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from data_pipeline.studio.appearances import Outfit
from data_pipeline.studio.camera import Array
from data_pipeline.studio.figures import Figure
from data_pipeline.studio.heads import add_head
from data_pipeline.studio.poses import SEAT, Arm, Pose
from data_pipeline.studio.solids import Assembly, Material, Texture, heading_rotation

Local = tuple[float, float, float]


def build_body(figure: Figure) -> Assembly:
    """Return all solids of a figure."""
    space, pose = _BodyFrame(figure), figure.pose
    _add_legs(space)
    space.solids.cluster()
    _add_torso(space)
    for side, arm in ((-1, pose.right), (1, pose.left)):
        space.solids.cluster()
        _add_arm(space, side, arm)
    space.solids.cluster()
    turn = space.turn @ heading_rotation(pose.head_turn) @ _pitch_rotation(pose.head_tilt)
    add_head(space.solids, np.array(space.upper_to_stage((0.0, 0.02, 1.645))), turn, figure.scale, figure.appearance)
    return space.solids


def body_balls(figure: Figure) -> tuple[tuple[float, ...], ...]:
    """Return balls (x, y, z, radius) that approximate the body for ambient occlusion."""
    space = _BodyFrame(figure)
    balls: list[tuple[Local, float]] = [((0, 0, 1.65), 0.10), ((0, 0, 1.28), 0.17), ((0, 0, 1.0), 0.15)]
    for _, knee, ankle in _legs(figure.pose):
        balls += [((ankle[0], ankle[1] + 0.05, 0.07), 0.10), (knee, 0.09)]
    return tuple(
        (*space.to_stage((x, y, z - (space.lift if z > 0.9 else 0.0))), radius * figure.scale)
        for (x, y, z), radius in balls
    )


class _BodyFrame:
    """The local coordinates of a figure, and the solids built in them."""

    def __init__(self, figure: Figure) -> None:
        self.figure, self.appearance = figure, figure.appearance
        self.solids = Assembly()
        self.turn = heading_rotation(figure.facing)
        self.scale = figure.scale
        self.lift = SEAT if figure.pose.sitting else _hip_drop(figure.pose.walk)

    def to_stage(self, spot: npt.ArrayLike) -> Array:
        """Transform a point from local to stage coordinates."""
        placed = self.turn @ (np.asarray(spot, dtype=np.float64) * self.scale)
        return np.asarray(placed + np.array([self.figure.x, self.figure.y, 0.0]))

    def upper_to_stage(self, spot: npt.ArrayLike) -> Array:
        """Transform a point above the hips, which are lowered when the figure sits."""
        return self.to_stage(np.asarray(spot, dtype=np.float64) - np.array([0.0, 0.0, self.lift]))

    def limb(
        self, start: Array, end: Array, radii: tuple[float, float], material: Material, softness: float = 0.03
    ) -> None:
        self.solids.cone(start, end, (radii[0] * self.scale, radii[1] * self.scale), material, softness * self.scale)

    def lump(self, centre: Local, radii: Local, material: Material, softness: float = 0.06) -> None:
        self.solids.ellipsoid(
            self.upper_to_stage(centre), np.array(radii) * self.scale, material, self.turn, softness * self.scale
        )


def _pitch_rotation(degrees: float) -> Array:
    """Return the rotation about the figure's x axis that raises the front."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])


def _roll_rotation(degrees: float) -> Array:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])


def _hip_drop(walk: float | None) -> float:
    """Return by how much the hips sink when the legs are apart."""
    return 0.0 if walk is None else 0.035 * abs(math.sin(2 * math.pi * walk))


def _legs(pose: Pose) -> tuple[tuple[Local, Local, Local], ...]:
    """Return hip, knee and ankle of both legs, the figure's right leg first."""
    return tuple(_leg(pose, side) for side in (-1, 1))


def _leg(pose: Pose, side: int) -> tuple[Local, Local, Local]:
    if pose.sitting:
        return (side * 0.095, 0.0, 0.93 - SEAT), (side * 0.11, 0.42, 0.93 - SEAT), (side * 0.11, 0.44, 0.09)
    hip: Local = (side * 0.095, 0.0, 0.93 - _hip_drop(pose.walk))
    if pose.walk is None:
        ahead = side * pose.stride
        return hip, (side * 0.105, ahead * 1.1 + 0.02, 0.50), (side * 0.11, ahead * 2, 0.09)
    phase = 2 * math.pi * pose.walk + (math.pi if side > 0 else 0.0)
    swing = 0.42 * math.sin(phase)
    bend = 0.12 + 0.75 * max(0.0, math.cos(phase)) ** 2  # the leg swinging forward is bent
    knee = (side * 0.1, 0.43 * math.sin(swing + 0.12), hip[2] - 0.43 * math.cos(swing + 0.12))
    shin = swing + 0.12 - bend
    ankle = (side * 0.1, knee[1] + 0.41 * math.sin(shin), max(0.09, knee[2] - 0.41 * math.cos(shin)))
    return hip, knee, ankle


def _add_legs(space: _BodyFrame) -> None:
    appearance, legs = space.appearance, space.appearance.legs
    shoe = Material(appearance.shoes, gloss=0.4)
    bare = Material(appearance.skin, Texture.SKIN, 0.15)
    for hip, knee, ankle in _legs(space.figure.pose):
        shin = bare if appearance.outfit is Outfit.DRESS else legs
        space.limb(space.to_stage(hip), space.to_stage(knee), (0.092 * appearance.build, 0.062), legs)
        space.limb(space.to_stage(knee), space.to_stage(ankle), (0.060, 0.045), shin)
        foot = np.array(ankle)
        heel, toe = foot + np.array([0, -0.03, -0.045]), foot + np.array([0, 0.15, -0.052])
        space.limb(space.to_stage(heel), space.to_stage(toe), (0.045, 0.036), shoe, 0.0)
    space.limb(
        space.upper_to_stage((-0.06, 0, 0.97)),
        space.upper_to_stage((0.06, 0, 0.97)),
        (0.105 * appearance.build, 0.105 * appearance.build),
        legs,
    )
    if appearance.outfit in (Outfit.DRESS, Outfit.COAT) and not space.figure.pose.sitting:
        hem = 0.60 if appearance.outfit is Outfit.DRESS else 0.68
        for side in (-0.068, 0.068):
            waist, end = space.upper_to_stage((side, 0, 1.02)), space.upper_to_stage((side * 1.1, 0.01, hem))
            space.limb(waist, end, (0.122 * appearance.build, 0.130), appearance.top, 0.08)


def _add_torso(space: _BodyFrame) -> None:
    appearance, wide = space.appearance, space.appearance.build
    top = appearance.top
    space.lump((0, 0, 1.10), (0.150 * wide, 0.112 * wide, 0.19), top)
    space.lump((0, 0.003, 1.29), (0.178 * wide, 0.118 * wide, 0.20), top)
    space.limb(
        space.upper_to_stage((-0.145, -0.005, 1.405)),
        space.upper_to_stage((0.145, -0.005, 1.405)),
        (0.064, 0.064),
        top,
        0.06,
    )
    space.lump((0, -0.008, 1.43), (0.13, 0.075, 0.072), top)
    skin = Material(appearance.skin, Texture.SKIN, 0.15)
    space.limb(
        space.upper_to_stage((0, -0.008, 1.44)), space.upper_to_stage((0, 0.012, 1.56)), (0.057, 0.053), skin, 0.03
    )
    if appearance.outfit is Outfit.JACKET:
        shirt = Material(appearance.under, Texture.CLOTH)
        space.lump((0, 0.040, 1.32), (0.060, 0.093, 0.155), shirt, 0.0)
        space.lump((0, 0.020, 1.445), (0.068, 0.068, 0.035), shirt, 0.0)
    else:
        space.lump((0, 0.0, 1.468), (0.072, 0.068, 0.028), top.shade(0.9), 0.0)


def _add_arm(space: _BodyFrame, side: int, arm: Arm) -> None:
    appearance, pose = space.appearance, space.figure.pose
    swing = arm.swing
    if pose.walk is not None:
        swing += -side * -28.0 * math.sin(2 * math.pi * pose.walk)
    shoulder = np.array([side * 0.182 * appearance.build, 0.0, 1.405])
    upper = _pitch_rotation(swing) @ _roll_rotation(-side * arm.spread)
    elbow = shoulder + upper @ np.array([0, 0, -0.29])
    lower = _pitch_rotation(swing + arm.bend) @ _roll_rotation(-side * arm.spread * 0.4)
    wrist = elbow + lower @ np.array([0, 0, -0.25])
    down = lower @ np.array([0, 0, -1.0])
    skin = Material(appearance.skin, Texture.SKIN, 0.15)
    sleeve = skin if appearance.outfit is Outfit.DRESS else appearance.top
    space.limb(
        space.upper_to_stage(shoulder),
        space.upper_to_stage(elbow),
        (0.057 * appearance.build, 0.045),
        appearance.top,
        0.05,
    )
    space.limb(space.upper_to_stage(elbow), space.upper_to_stage(wrist), (0.043, 0.033), sleeve)
    space.limb(
        space.upper_to_stage(wrist + down * 0.03), space.upper_to_stage(wrist + down * 0.10), (0.036, 0.030), skin, 0.02
    )
    for finger in (-1, 0, 1):
        root = wrist + down * 0.11 + lower @ np.array([0, finger * 0.02, 0])
        space.limb(space.upper_to_stage(root), space.upper_to_stage(root + down * 0.06), (0.012, 0.009), skin, 0.012)
    thumb = wrist + down * 0.05 + lower @ np.array([0, 0.035, 0])
    tip = thumb + down * 0.05 + lower @ np.array([0, 0.015, 0])
    space.limb(space.upper_to_stage(thumb), space.upper_to_stage(tip), (0.012, 0.009), skin, 0.012)
