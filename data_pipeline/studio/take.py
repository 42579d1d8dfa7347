"""One take: random choices within a film's style, for staging a term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from data_pipeline.studio import lighting_presets
from data_pipeline.studio.appearances import Appearance
from data_pipeline.studio.figures import Arm, Figure, Pose
from data_pipeline.studio.film_style import INDOORS, FilmStyle
from data_pipeline.studio.lights import Lighting
from data_pipeline.studio.solids import Assembly
from data_pipeline.studio.stage import Stage

Choice = TypeVar("Choice")


@dataclass
class Take:
    """Samples everything that a term leaves open. `side` is -1 or 1 and mirrors the stage."""

    style: FilmStyle
    rng: np.random.Generator
    side: int = field(init=False)
    cast: tuple[Appearance, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.side = int(self.rng.choice((-1, 1)))
        self.cast = tuple(self.style.cast[number] for number in self.rng.permutation(len(self.style.cast)))

    def between(self, low: float, high: float) -> float:
        """Sample a number uniformly from a range."""
        return float(self.rng.uniform(low, high))

    def one_of(self, choices: Sequence[Choice]) -> Choice:
        """Sample one of several with equal probability."""
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        """Return True with probability `share`."""
        return bool(self.rng.random() < share)

    def pose(self, walk: float | None = None) -> Pose:
        """Sample a standing pose, or a walking one at a phase of the walk cycle."""
        arms = [Arm(self.between(-10, 15), self.between(4, 10), self.between(5, 35)) for _ in range(2)]
        if walk is None and self.chance(0.25):
            arms[0] = Arm(self.between(15, 35), self.between(6, 14), self.between(70, 110))
        return Pose(arms[0], arms[1], walk, self.between(-12, 12), self.between(-4, 4), stride=self.between(0.02, 0.07))

    def figure(
        self, number: int = 0, x: float = 0.0, y: float = 0.0, facing: float = 180.0, pose: Pose | None = None
    ) -> Figure:
        """Return a member of the cast at a position on the stage."""
        return Figure(self.cast[number % len(self.cast)], x, y, facing, pose or self.pose())

    def choose_set(self, where: Sequence[str] = ()) -> str:
        """Sample one of the film's sets, or of the given ones."""
        return self.one_of(where or (*self.style.outdoors, *self.style.indoors))

    def lighting(self, where: str) -> Lighting:
        """Sample general lighting for a set, for shots whose term is not about light."""
        if where == "corridor":
            return lighting_presets.corridor_lamps(self.rng)
        if where in (*INDOORS, "bare wall"):
            return lighting_presets.indoors(self.rng)
        if self.chance(0.2):
            return lighting_presets.overcast(self.rng)
        return lighting_presets.day(self.rng, self.style.sun_elevation, self.style.sun_warmth)

    def stage(
        self,
        figures: Sequence[Figure],
        where: str | None = None,
        lighting: Lighting | None = None,
        props: Sequence[Assembly] = (),
        *,
        at_night: bool = False,
    ) -> Stage:
        """Return the figures on a set of the film, with lighting and the film's grading."""
        where = where or self.choose_set()
        lighting = lighting or self.lighting(where)
        return Stage(self.style.scenery(where, at_night=at_night), tuple(figures), self.graded(lighting), tuple(props))

    def graded(self, lighting: Lighting) -> Lighting:
        """Return the lighting with the film's grading."""
        white = tuple(one * other for one, other in zip(lighting.white, self.style.white, strict=True))
        return replace(
            lighting,
            contrast=lighting.contrast * self.style.contrast,
            saturation=lighting.saturation * self.style.saturation,
            white=(white[0], white[1], white[2]),
        )


def new_take(style: FilmStyle, *key: int) -> Take:
    """Return a take of a film; the key seeds its random generator."""
    return Take(style, np.random.default_rng([style.seed, style.number, 1000, *key]))
