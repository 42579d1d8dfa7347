"""What things on the stage are made of: flat faces, and rounds (one ball, or two in one skin)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from data_pipeline.studio.camera import Array, Point

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Face:
    """One flat polygon. A lit face is shaded by its normal; a glowing face keeps its colour whatever the light."""

    corners: tuple[Point, ...]
    colour: Colour
    glowing: bool = False


@dataclass(frozen=True)
class Round:
    """One or two ellipsoids in one skin. A mark (eye, mouth) lies on a surface: it shows only when faced."""

    centres: tuple[Point, Point]
    radii: tuple[Point, Point]
    colour: Colour
    nearness: float = 0.0
    outward: Point | None = None
    shaded: bool = True


@dataclass(frozen=True, eq=False)
class Thing:
    """Faces and rounds that stand together on a spot and are painted together."""

    spot: Point = (0.0, 0.0, 0.0)
    faces: tuple[Face, ...] = ()
    rounds: tuple[Round, ...] = ()
    turn: float = 0.0
    scale: float = 1.0
    is_figure: bool = False

    @cached_property
    def basis(self) -> Array:
        """The thing's own directions (across, ahead, up) on the stage, one per row."""
        turn = math.radians(self.turn)
        across = (-math.cos(turn), -math.sin(turn), 0.0)
        ahead = (math.sin(turn), -math.cos(turn), 0.0)
        return np.array([across, ahead, (0.0, 0.0, 1.0)])

    def placed(self, points: Array) -> Array:
        """Points of the thing's own frame (y is where it looks), on the stage. Turned 0, it looks at the audience."""
        return np.asarray(self.directed(points) * self.scale + np.array(self.spot))

    def directed(self, directions: Array) -> Array:
        """Directions of the thing's own frame, on the stage."""
        return np.asarray(directions @ self.basis)


@lru_cache(maxsize=4)
def _ball(samples: int) -> Array:
    """Points spread evenly over a unit ball."""
    step = np.arange(samples) + 0.5
    height = 1 - 2 * step / samples
    around = math.pi * (1 + math.sqrt(5)) * step
    flat = np.sqrt(1 - height**2)
    return np.stack([flat * np.cos(around), flat * np.sin(around), height], axis=-1)


def skin(thing: Thing, samples: int, marks: bool = True) -> Array:
    """Points all over the skins of a thing's rounds, as they lie on the stage: (round, sample, 3)."""
    chosen = [one for one in thing.rounds if marks or one.outward is None]
    centres = np.array([one.centres for one in chosen])[:, :, None]
    radii = np.array([one.radii for one in chosen])[:, :, None]
    return thing.placed((centres + radii * _ball(samples)).reshape(len(chosen), 2 * samples, 3))


def ball(centre: Point, radii: Point | float, colour: Colour, nearness: float = 0.0, shaded: bool = True) -> Round:
    spread = (radii, radii, radii) if isinstance(radii, float) else radii
    return Round((centre, centre), (spread, spread), colour, nearness, None, shaded)


def limb(start: Point, end: Point, thick: float, thin: float, colour: Colour, nearness: float = 0.0) -> Round:
    return Round((start, end), ((thick,) * 3, (thin,) * 3), colour, nearness)


def quad(corners: Sequence[Point], colour: Colour, glowing: bool = False) -> Face:
    return Face(tuple(corners), colour, glowing)


def upright(
    left: float, right: float, low: float, high: float, y: float, colour: Colour, glowing: bool = False
) -> Face:
    """A face that stands upright and looks at the audience."""
    return Face(((left, y, low), (right, y, low), (right, y, high), (left, y, high)), colour, glowing)


def lying(left: float, right: float, near: float, far: float, z: float, colour: Colour) -> Face:
    """A face that lies flat and looks up."""
    return Face(((left, near, z), (right, near, z), (right, far, z), (left, far, z)), colour)


def box(
    left: float, right: float, near: float, far: float, low: float, high: float, colour: Colour
) -> tuple[Face, ...]:
    """The five faces of a box that can be seen from above the ground."""
    return (
        upright(left, right, low, high, near, colour),
        quad([(right, far, low), (left, far, low), (left, far, high), (right, far, high)], colour),
        quad([(right, near, low), (right, far, low), (right, far, high), (right, near, high)], colour),
        quad([(left, far, low), (left, near, low), (left, near, high), (left, far, high)], colour),
        lying(left, right, near, far, high, colour),
    )
