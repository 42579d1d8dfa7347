"""The solids a stage is built of: round cones, ellipsoids and boxes of some material, and their rows for the renderer.

A row holds one solid; the constants below name its columns. Clusters are solids that stand together and share a
bounding sphere. The owner of a solid is 0 for the set, and n for the n-th figure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from data_pipeline.studio.camera import Array

KIND, FIRST, SECOND, FIRST_RADIUS, SECOND_RADIUS, TURN = 0, 1, 4, 7, 8, 9
TEXTURE, GLOSS, COLOUR, GLOW, BOUND, BOUND_RADIUS = 18, 19, 20, 23, 24, 27
OWNER, SOFTNESS, CLUSTER, SHADOW = 28, 29, 30, 31
COLUMNS = 32
CLUSTER_SHADOW = 6  # column of a cluster
ROUND_CONE, ELLIPSOID, BOX = 0.0, 1.0, 2.0

Colour = tuple[float, float, float]  # sRGB, 0 to 1
UPRIGHT: Array = np.eye(3)


class Texture(IntEnum):
    """The pattern of a surface."""

    PLAIN = 0
    CLOTH = 1
    SKIN = 2
    HAIR = 3
    GRASS = 4
    BRICK = 5
    WINDOWS = 6
    WOOD = 7
    PAVING = 8
    STRIPES = 9
    LEAVES = 10
    ASPHALT = 11
    BOOKS = 12
    FOLDS = 13
    CHECKS = 14
    SAND = 15
    PRINT = 16


@dataclass(frozen=True)
class Material:
    """What a surface is made of. Glow is light it gives off by itself; of windows: the lit ones.

    What glows otherwise (flames, lamp glass) lets the light of lamps pass. Walls with all lamps on one side of them
    need no shadow either, and cost less without.
    """

    colour: Colour
    texture: Texture = Texture.PLAIN
    gloss: float = 0.05
    glow: float = 0.0
    casts_shadow: bool = True

    def shade(self, factor: float) -> Material:
        """The same material, lighter or darker."""
        red, green, blue = (min(1.0, tone * factor) for tone in self.colour)
        return replace(self, colour=(red, green, blue))


def linear(colour: npt.ArrayLike) -> Array:
    """sRGB tones as amounts of light."""
    return np.asarray(colour, dtype=np.float64) ** 2.2


def turned(degrees: float) -> Array:
    """The turn that takes y to a heading."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])


class Assembly:
    """Solids in the making. Everything added goes to the open cluster; `cluster()` opens the next one."""

    def __init__(self, owner: int = 0) -> None:
        self._rows: list[Array] = []
        self._cluster = 0
        self._owner = owner

    def cluster(self) -> Assembly:
        """Open a new cluster."""
        self._cluster += 1
        return self

    def cone(
        self,
        first: npt.ArrayLike,
        second: npt.ArrayLike,
        radii: tuple[float, float],
        material: Material,
        softness: float = 0.0,
    ) -> None:
        """A round cone: the hull of two balls. Softness is how far, in metres, it melts into its neighbours."""
        row = self._row(ROUND_CONE, material, softness)
        start, end = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
        row[FIRST : FIRST + 3], row[SECOND : SECOND + 3] = start, end
        row[FIRST_RADIUS], row[SECOND_RADIUS] = radii
        row[BOUND : BOUND + 3] = (start + end) / 2
        row[BOUND_RADIUS] = math.dist(start, end) / 2 + max(radii)

    def ellipsoid(
        self,
        centre: npt.ArrayLike,
        radii: npt.ArrayLike,
        material: Material,
        turn: Array = UPRIGHT,
        softness: float = 0.0,
    ) -> None:
        """An ellipsoid; a single radius makes a ball."""
        row = self._row(ELLIPSOID, material, softness)
        row[FIRST : FIRST + 3], row[SECOND : SECOND + 3] = centre, radii
        row[TURN : TURN + 9] = turn.ravel()
        row[BOUND : BOUND + 3] = centre
        row[BOUND_RADIUS] = row[SECOND : SECOND + 3].max()

    def box(self, centre: npt.ArrayLike, half: npt.ArrayLike, material: Material, turn: Array = UPRIGHT) -> None:
        """A box of so many metres to each side of its centre."""
        row = self._row(BOX, material, 0.0)
        row[FIRST : FIRST + 3], row[SECOND : SECOND + 3] = centre, half
        row[TURN : TURN + 9] = turn.ravel()
        row[BOUND : BOUND + 3] = centre
        row[BOUND_RADIUS] = float(np.linalg.norm(row[SECOND : SECOND + 3]))

    def _row(self, kind: float, material: Material, softness: float) -> Array:
        row = np.zeros(COLUMNS)
        row[KIND], row[TEXTURE], row[GLOSS], row[GLOW] = kind, material.texture, material.gloss, material.glow
        row[COLOUR : COLOUR + 3] = linear(material.colour)
        lets_pass = material.glow > 0 and material.texture is not Texture.WINDOWS
        row[SHADOW] = material.casts_shadow and not lets_pass
        row[OWNER], row[SOFTNESS], row[CLUSTER] = self._owner, softness, self._cluster
        self._rows.append(row)
        return row

    def take(self, other: Assembly, *, mirrored_x: bool = False) -> None:
        """Add another assembly to the open cluster, mirrored at x = 0 if asked; boxes must stand square."""
        for row in other.rows():
            row[CLUSTER] = self._cluster
            if mirrored_x:
                row[[FIRST, BOUND]] *= -1
                if row[KIND] == ROUND_CONE:
                    row[SECOND] *= -1
            self._rows.append(row)

    def rows(self) -> Array:
        """The solids so far."""
        return np.array(self._rows) if self._rows else np.zeros((0, COLUMNS))


def clustered(parts: list[Array]) -> tuple[Array, Array]:
    """All solids in the order of their clusters, and a row (centre, radius, first, end, shadow) for every cluster."""
    ordered: list[Array] = []
    bounds: list[Array] = []
    count = 0
    for rows in parts:
        for number in np.unique(rows[:, CLUSTER]):
            members = rows[rows[:, CLUSTER] == number]
            ordered.append(members)
            bounds.append(np.array([*_bounding_ball(members), count, count + len(members), members[:, SHADOW].max()]))
            count += len(members)
    return np.ascontiguousarray(np.concatenate(ordered)), np.array(bounds)


def _bounding_ball(members: Array) -> Array:
    centres, radii = members[:, BOUND : BOUND + 3], members[:, BOUND_RADIUS]
    middle = ((centres - radii[:, None]).min(axis=0) + (centres + radii[:, None]).max(axis=0)) / 2
    reach = float((np.linalg.norm(centres - middle, axis=1) + radii).max())
    return np.array([*middle, reach])
