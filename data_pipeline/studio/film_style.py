"""The style shared by a film's shots: cast, sets and their colours, time of day, colour grading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from data_pipeline.studio import sets_indoors, sets_outdoors
from data_pipeline.studio.appearances import Appearance, draw_cast
from data_pipeline.studio.palettes import Palette, draw_palette
from data_pipeline.studio.stage import Scenery

SetBuilder = Callable[[np.random.Generator, Palette, float], Scenery]
SETS: dict[str, SetBuilder] = {
    "street": sets_outdoors.street,
    "city": sets_outdoors.city,
    "field": sets_outdoors.field,
    "beach": sets_outdoors.beach,
    "heath": sets_outdoors.heath,
    "avenue": sets_outdoors.avenue,
    "bare wall": sets_indoors.bare_wall,
    "room": sets_indoors.room,
    "kitchen": sets_indoors.kitchen,
    "office": sets_indoors.office,
    "corridor": sets_indoors.corridor,
}
OUTDOORS = ("street", "city", "field", "beach")
INDOORS = ("room", "kitchen", "office")
CAST_SIZE = 8
WINDOW_GLOW = 1.4  # emission of lit windows at night


@dataclass(frozen=True)
class FilmStyle:
    """Style of one film, used for all its shots."""

    seed: int
    number: int
    cast: tuple[Appearance, ...]
    palette: Palette
    outdoors: tuple[str, ...]
    indoors: tuple[str, ...]
    sun_elevation: float  # degrees, by the film's time of day
    sun_warmth: float  # colour temperature in kelvin
    contrast: float
    saturation: float
    white: tuple[float, float, float]

    @property
    def film_id(self) -> str:
        return f"studio-{self.seed}-{self.number:05d}"

    def scenery(self, name: str, *, at_night: bool = False) -> Scenery:
        """Return a set of this film; the result is deterministic."""
        return _build_set(self.seed, self.number, self.palette, name, at_night)


def film_style(seed: int, number: int) -> FilmStyle:
    """Sample the style of the n-th film of a seed."""
    rng = np.random.default_rng([seed, number])
    warm = rng.uniform(-0.035, 0.035)
    return FilmStyle(
        seed=seed,
        number=number,
        cast=draw_cast(rng, CAST_SIZE),
        palette=draw_palette(rng),
        outdoors=tuple(OUTDOORS[k] for k in rng.permutation(len(OUTDOORS))[:2]),
        indoors=tuple(INDOORS[k] for k in rng.permutation(len(INDOORS))[:2]),
        sun_elevation=float(rng.uniform(24, 52)),
        sun_warmth=float(rng.uniform(4700, 6200)),
        contrast=float(rng.uniform(0.98, 1.10)),
        saturation=float(rng.uniform(0.80, 1.05)),
        white=(1.0 + warm, 1.0, 1.0 - warm),
    )


@lru_cache(maxsize=64)
def _build_set(seed: int, number: int, palette: Palette, name: str, at_night: bool) -> Scenery:
    rng = np.random.default_rng([seed, number, 1 + list(SETS).index(name)])
    return SETS[name](rng, palette, WINDOW_GLOW if at_night else 0.0)
