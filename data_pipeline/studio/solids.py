"""The solids of a stage: round cones, ellipsoids and boxes with a material, and their rows for the renderer.

A row describes one solid; the constants below are its column indices. A cluster is a group of neighbouring solids with
a common bounding sphere. The owner of a solid is 0 for the set and n for the n-th figure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from data_pipeline.studio.camera import Array

KIND, FIRST, SECOND, FIRST_RADIUS, SECOND_RADIUS, ROTATION = 0, 1, 4, 7, 8, 9
TEXTURE, GLOSS, COLOUR, GLOW, BOUND, BOUND_RADIUS = 18, 19, 20, 23, 24, 27
OWNER, SOFTNESS, CLUSTER, SHADOW = 28, 29, 30, 31
COLUMNS = 32
CLUSTER_SHADOW = 6  # column of a cluster row
ROUND_CONE, ELLIPSOID, BOX = 0.0, 1.0, 2.0

Colour = tuple[float, float, float]  # sRGB, 0 to 1
IDENTITY_ROTATION: Array = np.eye(3)


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
    """Material of a surface. `glow` is its emitted radiance; on a facade, that of the lit windows.

    Emitters other than facades (flames, lamp glass) never block light. `casts_shadow` is False for walls with all lamps
    on one side, which saves time.
    """

    colour: Colour
    texture: Texture = Texture.PLAIN
    gloss: float = 0.05
    glow: float = 0.0
    casts_shadow: bool = True

    def shade(self, factor: float) -> Material:
        """Return the material with its colour multiplied by a factor."""
        red, green, blue = (min(1.0, tone * factor) for tone in self.colour)
        return replace(self, colour=(red, green, blue))


def linear(colour: npt.ArrayLike) -> Array:
    """Convert sRGB values in [0, 1] to linear light (gamma 2.2); any shape."""
    return np.asarray(colour, dtype=np.float64) ** 2.2


def heading_rotation(degrees: float) -> Array:
    """Return the rotation matrix (3, 3) about z that turns the y axis to a heading in degrees."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])


class Assembly:
    """Builder of solids. Solids are added to the current cluster; `cluster()` begins the next one."""

    def __init__(self, owner: int = 0) -> None:
        self._rows: list[Array] = []
        self._cluster = 0
        self._owner = owner

    def cluster(self) -> Assembly:
        """Begin a new cluster."""
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
        """Add a round cone, the convex hull of two balls with centres `first` and `second`, each (3,).

        `softness` is the blending distance to neighbours. All lengths are in metres.
        """
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
        turn: Array = IDENTITY_ROTATION,
        softness: float = 0.0,
    ) -> None:
        """Add an ellipsoid with radii (3,) in metres, or a ball with a single radius, rotated by `turn` (3, 3)."""
        row = self._row(ELLIPSOID, material, softness)
        row[FIRST : FIRST + 3], row[SECOND : SECOND + 3] = centre, radii
        row[ROTATION : ROTATION + 9] = turn.ravel()
        row[BOUND : BOUND + 3] = centre
        row[BOUND_RADIUS] = row[SECOND : SECOND + 3].max()

    def box(
        self, centre: npt.ArrayLike, half: npt.ArrayLike, material: Material, turn: Array = IDENTITY_ROTATION
    ) -> None:
        """Add a box with half extents (3,) in metres, rotated by `turn` (3, 3)."""
        row = self._row(BOX, material, 0.0)
        row[FIRST : FIRST + 3], row[SECOND : SECOND + 3] = centre, half
        row[ROTATION : ROTATION + 9] = turn.ravel()
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

    def add_all(self, other: Assembly, *, mirrored_x: bool = False) -> None:
        """Add another assembly to the current cluster, optionally mirrored at x = 0 (unrotated boxes only)."""
        for row in other.rows():
            row[CLUSTER] = self._cluster
            if mirrored_x:
                row[[FIRST, BOUND]] *= -1
                if row[KIND] == ROUND_CONE:
                    row[SECOND] *= -1
            self._rows.append(row)

    def rows(self) -> Array:
        """Return the solids so far as rows (n, COLUMNS)."""
        return np.array(self._rows) if self._rows else np.zeros((0, COLUMNS))


def clustered(parts: list[Array]) -> tuple[Array, Array]:
    """Sort solids by cluster; returns their rows (n, COLUMNS) and cluster rows (m, 7).

    A cluster row is (centre x, y, z, bounding radius, first solid, end, casts shadow).
    """
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
