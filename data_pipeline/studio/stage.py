"""The stage: a set, figures and lighting, put together for the renderer."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from data_pipeline.studio.bodies import body_balls, build_body
from data_pipeline.studio.camera import Array
from data_pipeline.studio.figures import Figure
from data_pipeline.studio.lights import Lighting
from data_pipeline.studio.solids import OWNER, Assembly, Material, clustered, linear

NO_ROOM = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Scenery:
    """What stands around the figures: solids, the ground, and, of rooms, (left, right, back, height)."""

    name: str
    ground: Material
    solids: Assembly = field(default_factory=Assembly)
    room: tuple[float, float, float, float] = NO_ROOM


@dataclass(frozen=True, eq=False)
class Built:
    """A stage in the renderer's arrays."""

    solids: Array
    clusters: Array
    spheres: Array
    ground: Array
    room: Array


@dataclass(frozen=True, eq=False)
class Stage:
    """Everything in front of the camera. Figures are numbered from 1 in the frame's ids."""

    scenery: Scenery
    figures: tuple[Figure, ...]
    lighting: Lighting
    props: tuple[Assembly, ...] = ()

    @cached_property
    def built(self) -> Built:
        parts = [self.scenery.solids.rows()]
        parts += [_owned(build_body(figure).rows(), number) for number, figure in enumerate(self.figures, start=1)]
        parts += [prop.rows() for prop in self.props]
        solids, clusters = clustered([part for part in parts if len(part)] or [_nothing()])
        spheres = [
            (*centre, radius, number)
            for number, figure in enumerate(self.figures, start=1)
            for *centre, radius in body_balls(figure)
        ]
        material = self.scenery.ground
        ground = np.array([*linear(material.colour), material.gloss, material.texture])
        return Built(solids, clusters, np.array(spheres).reshape(-1, 5), ground, np.array(self.scenery.room))


def _owned(rows: Array, number: int) -> Array:
    rows = rows.copy()
    rows[:, OWNER] = number
    return rows


@lru_cache(maxsize=1)
def _nothing() -> Array:
    """A grain of dust far below the ground: the renderer wants at least one solid."""
    dust = Assembly()
    dust.ellipsoid((0, 0, -1000), 1e-3, Material((0, 0, 0)))
    return dust.rows()
