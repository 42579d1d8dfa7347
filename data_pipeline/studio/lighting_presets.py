"""General lighting, sampled from ranges: daylight, overcast sky, interiors and corridors.

It is used for shots whose term is not about light; the others are in `lighting_types.py` and `lighting_conditions.py`.
"""

from __future__ import annotations

import numpy as np

from data_pipeline.studio.lights import Lighting, kelvin, key, lamp, scaled, sun


def blend(rng: np.random.Generator, low: float, high: float) -> float:
    """Sample a number uniformly from a range."""
    return float(rng.uniform(low, high))


def day(
    rng: np.random.Generator, elevation: float = 40.0, warmth: float = 5400.0, azimuth: float | None = None
) -> Lighting:
    """A clear day with the sun on the camera's side of the figures."""
    if azimuth is None:
        azimuth = float(rng.choice((-1, 1))) * blend(rng, 20, 65)
    elevation = float(np.clip(elevation + rng.normal(0, 5), 18, 62))
    low = np.clip((34 - elevation) / 20, 0, 1)  # a low sun is warmer and reddens the horizon
    tone = kelvin(warmth - 1400 * low)
    return Lighting(
        lights=(sun(azimuth, elevation, tone, 2.3, size=0.012),),
        ambient=(0.36, 0.43, 0.54),
        ambient_below=(0.22, 0.20, 0.17),
        zenith=(0.16, 0.33, 0.70),
        horizon=(0.66 + 0.2 * low, 0.74 - 0.05 * low, 0.84 - 0.2 * low),
        clouds=blend(rng, 0.25, 0.8),
        fog=(0.66, 0.72, 0.80),
        fog_density=blend(rng, 0.0006, 0.0018),
        exposure=0.62,
    )


def overcast(rng: np.random.Generator) -> Lighting:
    """A grey sky without shadows."""
    grey = blend(rng, 0.92, 1.05)
    return Lighting(
        lights=(sun(blend(rng, -60, 60), 70, (1, 1, 1), 0.5, size=0.6, samples=12),),
        ambient=(0.74 * grey, 0.78 * grey, 0.83 * grey),
        ambient_below=(0.36, 0.36, 0.36),
        zenith=(0.60, 0.64, 0.69),
        horizon=(0.80, 0.82, 0.85),
        clouds=0.45,
        fog=(0.76, 0.79, 0.82),
        fog_density=blend(rng, 0.0015, 0.004),
        exposure=0.66,
        saturation=0.72,
    )


def indoors(rng: np.random.Generator, azimuth: float | None = None, warmth: float | None = None) -> Lighting:
    """Soft key light from one side of the camera, with a weaker fill light from the other."""
    if azimuth is None:
        azimuth = float(rng.choice((-1, 1))) * blend(rng, 20, 55)
    tone = kelvin(warmth or blend(rng, 4000, 5800))
    return Lighting(
        lights=(
            key(azimuth, blend(rng, 12, 20), tone, blend(rng, 1.5, 1.9), size=0.2, distance=3.0, samples=7),
            key(-azimuth * 0.8, 14, scaled(tone, 0.9), 0.45, distance=3.4, samples=0),
        ),
        ambient=(0.40, 0.40, 0.40),
        ambient_below=(0.30, 0.28, 0.26),
        exposure=0.85,
    )


def corridor_lamps(rng: np.random.Generator) -> Lighting:
    """A row of ceiling lamps in a corridor, and one next to the camera."""
    tone = kelvin(blend(rng, 3800, 5200))
    return Lighting(
        lights=(
            key(0, 8, tone, blend(rng, 1.0, 1.3), size=0.2, distance=3.0, samples=7),
            lamp((0.0, 1.5, 2.55), tone, 1.6, samples=0),
            lamp((0.0, 5.5, 2.55), tone, 2.4, samples=0),
        ),
        ambient=(0.34, 0.34, 0.34),
        ambient_below=(0.28, 0.26, 0.24),
        exposure=0.85,
    )
