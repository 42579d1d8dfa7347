"""Paints round things: outlines of balls and limbs in perspective, their shading, and the shadows they cast.

A ball's outline is exact: of every direction in the picture, the line that just touches the ball is found by a
quadratic equation, and the outline is drawn through the crossings of these lines. A limb takes, of each direction,
the crossing of that of its two balls which reaches farther out. A shaded round is painted as its outline in shadow,
then smaller copies that lean towards the light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from data_pipeline.studio.camera import NEAR, Array, Camera, Size
from data_pipeline.studio.light import Light, eight_bit
from data_pipeline.studio.solids import Round, Thing

Tone = tuple[int, int, int]
Flags: TypeAlias = npt.NDArray[np.bool_]
SMALLEST = 1.5  # pixels: what is smaller only flickers
SMALL = 12.0  # pixels: what is smaller gets one tone


@dataclass(frozen=True, eq=False)
class Batch:
    """All rounds of a stage, in arrays: (round, step of shading, ball, ...). The first step is the whole round."""

    owner: npt.NDArray[np.intp]
    nearness: Array
    centres: Array
    spreads: Array  # a ball's radii as a matrix on the stage, whichever way its thing is turned
    shrinking: Array
    outward: Array
    is_mark: Flags
    tones: tuple[tuple[Tone, ...], ...]


@dataclass(frozen=True, eq=False)
class Outlines:
    """The rounds of a batch as one camera sees them."""

    pixels: Array
    shown: Flags
    is_small: Flags
    distance: Array
    steps: int


def gather(things: tuple[Thing, ...], light: Light, fine: bool) -> Batch:
    """The rounds of many things, ready to be seen by any camera."""
    steps = ((1.0, 0.0), *light.steps(fine))
    owned = [(number, thing, one) for number, thing in enumerate(things) for one in thing.rounds]
    centres = np.array([thing.placed(np.array(one.centres)) for _, thing, one in owned])
    bases = np.array([thing.basis for _, thing, _ in owned])
    radii = np.array([np.array(one.radii) * thing.scale for _, thing, one in owned])
    spreads = np.einsum("rai,rka,raj->rkij", bases, np.square(radii), bases)
    to_light = light.direction()
    lit_spot = spreads @ to_light / np.sqrt(np.einsum("i,rkij,j->rk", to_light, spreads, to_light))[..., None]
    shrinking = np.array([share for share, _ in steps])
    return Batch(
        np.array([number for number, _, _ in owned]),
        np.array([one.nearness * thing.scale for _, thing, one in owned]),
        centres[:, None] + (1 - shrinking)[None, :, None, None] * lit_spot[:, None],
        spreads,
        shrinking,
        np.array([thing.directed(np.array(one.outward or (0.0, 0.0, 0.0))) for _, thing, one in owned]),
        np.array([one.outward is not None for _, _, one in owned]),
        tuple(_tones(thing, one, light, steps) for _, thing, one in owned),
    )


def _tones(thing: Thing, one: Round, light: Light, steps: tuple[tuple[float, float], ...]) -> tuple[Tone, ...]:
    if not one.shaded:
        return (eight_bit(one.colour),)
    dim = 1.0 if thing.is_figure else light.scenery
    if one.outward is not None:
        outward = thing.directed(np.array(one.outward))
        steps = ((1.0, light.on_mark(outward / np.linalg.norm(outward))),)
    return tuple(eight_bit(light.on_skin(one.colour, share, dim)) for _, share in steps)


@lru_cache(maxsize=4)
def _compass(corners: int) -> Array:
    angle = np.arange(corners) * 2 * math.pi / corners
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def outlines(batch: Batch, camera: Camera, size: Size, light: Light, corners: int) -> Outlines:
    """The pixel outlines of all rounds and shading steps, and which rounds can be seen at all."""
    axes = camera.axes
    # A light from behind leaves the side we see in shadow.
    steps = len(batch.shrinking) if float(light.direction() @ axes[2]) < 0.45 else 1
    seen = camera.see(batch.centres[:, :steps])
    spreads = axes @ batch.spreads @ axes.T
    touching = _touching_lines(seen, spreads, batch.shrinking[:steps], _compass(corners))
    pixels = camera.from_tangents(_crossings(touching, _compass(corners)), size)
    low, high = pixels[:, 0].min(axis=1), pixels[:, 0].max(axis=1)
    shown = (seen[:, 0, :, 2] - np.sqrt(spreads[..., 2, 2]) > NEAR).all(axis=1)
    extent = (high - low).max(axis=1)
    shown &= (high > 0).all(axis=1) & (low < np.array(size)).all(axis=1) & (extent > SMALLEST)
    towards_us = np.array(camera.position) - batch.centres[:, 0, 0]
    shown &= ~batch.is_mark | (np.einsum("ri,ri->r", batch.outward, towards_us) > 0)
    distance = np.linalg.norm(seen[:, 0].mean(axis=1), axis=-1) - batch.nearness
    return Outlines(pixels, shown, extent < SMALL, distance, steps)


def _touching_lines(seen: Array, spreads: Array, shrinking: Array, compass: Array) -> Array:
    """How far out (in tangents) the line that touches a ball lies: (round, step, ball, direction)."""
    share = np.square(shrinking)[None, :, None, None]
    across = seen[..., :2] @ compass.T
    depth = seen[..., 2:]
    own = np.einsum("rkij,ni,nj->rkn", spreads[..., :2, :2], compass, compass)[:, None] * share
    mixed = (spreads[..., 2, :2] @ compass.T)[:, None] * share
    deep = spreads[..., 2, 2][:, None, :, None] * share
    leading = np.maximum(depth**2 - deep, 1e-9)
    half = across * depth - mixed
    root = np.sqrt(np.maximum(half**2 - leading * (across**2 - own), 0))
    return np.asarray((half + root) / leading)


def _crossings(touching: Array, compass: Array) -> Array:
    """Where each touching line crosses the next one; of the two balls' crossings, the farther one."""
    following, ahead = np.roll(touching, -1, axis=-1), np.roll(compass, -1, axis=0)
    sine = compass[:, 0] * ahead[:, 1] - compass[:, 1] * ahead[:, 0]
    x = (touching * ahead[:, 1] - following * compass[:, 1]) / sine
    y = (following * compass[:, 0] - touching * ahead[:, 0]) / sine
    crossings = np.stack([x, y], axis=-1)
    first, second = crossings[:, :, 0], crossings[:, :, 1]
    second_is_farther = np.einsum("rsni,ni->rsn", second - first, compass + ahead) > 0
    return np.where(second_is_farther[..., None], second, first)
