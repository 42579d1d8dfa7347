"""The stage: a set, figures and lighting, converted to arrays for the renderer."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from data_pipeline.studio.bodies import body_balls, build_body
from data_pipeline.studio.camera import Array
from data_pipeline.studio.figures import Figure
from data_pipeline.studio.lights import Lighting
from data_pipeline.studio.solids import OWNER, Assembly, Material, clustered, linear

OPEN_AIR = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Scenery:
    """The surroundings of the figures: solids, ground and, for rooms, (left, right, back, height) in metres."""

    name: str
    ground: Material
    solids: Assembly = field(default_factory=Assembly)
    room: tuple[float, float, float, float] = OPEN_AIR


@dataclass(frozen=True, eq=False)
class Built:
    """A stage as the renderer's float64 arrays."""

    solids: Array  # (n, solids.COLUMNS)
    clusters: Array  # (m, 7), see `solids.clustered`
    spheres: Array  # (k, 5): centre, radius and owner, for ambient occlusion
    ground: Array  # (5,): linear colour, gloss, texture
    room: Array  # (4,): left, right, back, height in metres; all 0 outdoors


@dataclass(frozen=True, eq=False)
class Stage:
    """Everything in front of the camera. Figures are numbered from 1 in `Frame.ids`."""

    scenery: Scenery
    figures: tuple[Figure, ...]
    lighting: Lighting
    props: tuple[Assembly, ...] = ()

    @cached_property
    def built(self) -> Built:
        parts = [self.scenery.solids.rows()]
        parts += [_with_owner(build_body(figure).rows(), number) for number, figure in enumerate(self.figures, start=1)]
        parts += [prop.rows() for prop in self.props]
        solids, clusters = clustered([part for part in parts if len(part)] or [_hidden_solid()])
        spheres = [
            (*centre, radius, number)
            for number, figure in enumerate(self.figures, start=1)
            for *centre, radius in body_balls(figure)
        ]
        material = self.scenery.ground
        ground = np.array([*linear(material.colour), material.gloss, material.texture])
        return Built(solids, clusters, np.array(spheres).reshape(-1, 5), ground, np.array(self.scenery.room))


def _with_owner(rows: Array, number: int) -> Array:
    rows = rows.copy()
    rows[:, OWNER] = number
    return rows


@lru_cache(maxsize=1)
def _hidden_solid() -> Array:
    """Return a tiny ball far below the ground, since the renderer needs at least one solid."""
    solids = Assembly()
    solids.ellipsoid((0, 0, -1000), 1e-3, Material((0, 0, 0)))
    return solids.rows()
