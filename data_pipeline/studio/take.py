"""One take: what chance decides before a term is staged (cast, set, side), and what staging hands to the painter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from data_pipeline.studio.camera import Camera
from data_pipeline.studio.figures import Look, figure, looks
from data_pipeline.studio.light import Light
from data_pipeline.studio.paint import Stage
from data_pipeline.studio.sets import OUTDOORS, SETS, Scenery
from data_pipeline.studio.solids import Thing

CAST_SIZE = 6


@dataclass(frozen=True)
class Shot:
    """A stage and the cameras on it: one for a still, one per frame for a clip."""

    stage: Stage
    cameras: tuple[Camera, ...]


@dataclass(frozen=True)
class Take:
    """What chance decided for one scene. Side is -1 or 1: which way round a stage is set up, where no term minds."""

    seed: int
    scene: int
    variant: int
    cast: tuple[Look, ...]

    @property
    def side(self) -> int:
        return 1 if self.variant % 2 == 0 else -1

    @property
    def outdoors(self) -> str:
        return OUTDOORS[(self.variant + self.scene // 2) % len(OUTDOORS)]

    def figure(self, number: int = 0, x: float = 0.0, y: float = 0.0, turn: float = 0.0) -> Thing:
        """A member of the cast, of a stature of its own."""
        return figure(self.cast[number % len(self.cast)], x, y, turn, (1.0, 0.96, 1.04, 0.98, 1.02, 0.94)[number % 6])

    def stage(
        self, figures: tuple[Thing, ...], light: Light | None = None, where: str = "", props: tuple[Thing, ...] = ()
    ) -> Stage:
        """A dressed stage; the same scene always dresses a set in the same way."""
        scenery = _dressed(where or self.outdoors, self.seed, self.scene)
        return Stage(scenery, light or self.daylight(), figures, props)

    def daylight(self) -> Light:
        """Plain light for shots whose term is not about light; the sun stands on the take's side."""
        light = Light()
        return replace(light, toward=(light.toward[0] * self.side, *light.toward[1:]))


@lru_cache(maxsize=8)
def _dressed(where: str, seed: int, scene: int) -> Scenery:
    """Kept, so that the painter need not measure the same things anew for every shot of a scene."""
    return SETS[where](np.random.default_rng([seed, scene, 1]))


Recipe = Callable[[Take], Shot]


def take(seed: int, scene: int, variant: int) -> Take:
    """The take of a scene."""
    return Take(seed, scene, variant, looks(np.random.default_rng([seed, scene, 0]), CAST_SIZE))


def still(stage: Stage, camera: Camera) -> Shot:
    return Shot(stage, (camera,))
