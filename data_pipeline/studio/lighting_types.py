"""Stills for lighting type: the light source. Indoor ones are in `lamp_light.py`."""

from __future__ import annotations

import math
from dataclasses import replace

from data_pipeline.studio import furnishings as put
from data_pipeline.studio import lamp_light, lighting_presets
from data_pipeline.studio.figures import Figure
from data_pipeline.studio.lamp_light import pair
from data_pipeline.studio.lights import Disc, Lighting, around, kelvin, key, lamp, scaled, sun
from data_pipeline.studio.solids import Assembly, Material
from data_pipeline.studio.staging import Recipe, Staging, camera_on
from data_pipeline.studio.take import Take

NIGHT = Lighting(
    ambient=(0.030, 0.042, 0.085), ambient_below=(0.015, 0.02, 0.035), zenith=(0.002, 0.004, 0.014),
    horizon=(0.012, 0.018, 0.040), stars=0.6, fog=(0.008, 0.012, 0.026), fog_density=0.004, exposure=1.0, bloom=0.5,
)  # fmt: skip


def _outside(take: Take, lighting: Lighting, figures: tuple[Figure, ...]) -> Staging:
    height = take.between(1.6, 2.8)
    camera = camera_on(
        (0, 0, 1.05 if height > 2.2 else 1.72 - 0.36 * height), height, take.between(28, 40),
        azimuth=take.between(-12, 12), shift=take.between(-0.12, 0.12), elevation=take.between(-2, 4),
    )  # fmt: skip
    return Staging(take.stage(figures, take.one_of(take.style.outdoors), lighting), camera)


def _daylight(take: Take) -> Staging:
    return _outside(take, lighting_presets.day(take.rng, take.style.sun_elevation, take.style.sun_warmth), pair(take))


def _sunny(take: Take) -> Staging:
    """Hard sunlight from a blue sky, with deep shadows on the ground."""
    lighting = lighting_presets.day(take.rng, 44, 5200, azimuth=take.side * take.between(30, 75))
    lights = tuple(replace(one, tone=scaled(one.tone, 1.3)) for one in lighting.lights)
    bright = replace(
        lighting, zenith=(0.08, 0.24, 0.72), horizon=(0.50, 0.70, 0.95), clouds=take.between(0, 0.25), contrast=1.1,
        saturation=1.15, ambient=(0.34, 0.40, 0.50), fog_density=0.001, lights=lights,
    )  # fmt: skip
    return _outside(take, bright, pair(take))


def _overcast(take: Take) -> Staging:
    return _outside(take, lighting_presets.overcast(take.rng), pair(take))


def _moonlight(take: Take) -> Staging:
    """A blue night with the moon in the frame."""
    azimuth = 180 - take.side * take.between(10, 18)
    moon = around(azimuth, take.between(13, 17), 1.0, (0, 0, 0))
    tone = (0.40, 0.58, 1.0)
    lighting = replace(
        NIGHT, disc=Disc(moon, 1.6, (2.6, 2.8, 3.2)), ambient=(0.055, 0.08, 0.16),
        lights=(sun(take.side * take.between(95, 130), take.between(26, 40), tone, 0.62, size=0.012),
                sun(take.side * 40, 35, tone, 0.38, size=0.02)),
    )  # fmt: skip
    height = take.between(2.2, 3.2)
    camera = camera_on(
        (0, 0, 1.35),
        height,
        take.between(26, 32),
        elevation=-take.between(2, 5),
        shift=take.side * take.between(0, 0.1),
    )
    where = take.one_of(("field", "beach", "heath"))
    return Staging(take.stage(pair(take), where, lighting, at_night=True), camera)


def _campfire(take: Take) -> Assembly:
    solids = Assembly()
    for number in range(6):
        angle = number * 1.05 + take.between(0, 0.4)
        out = (0.22 * math.cos(angle), 0.22 * math.sin(angle))
        solids.cone(
            (out[0], out[1], 0.05), (-out[0] * 0.4, -out[1] * 0.4, 0.2), (0.04, 0.03), Material((0.16, 0.10, 0.06))
        )
    for number in range(9):
        angle, away = number * 2.4, 0.035 * math.sqrt(number)
        x, y = away * 1.3 * math.cos(angle), away * math.sin(angle)
        high = take.between(0.30, 0.52) - 1.2 * away
        heat = Material((1.0, 0.42 + 0.25 * (number < 4), 0.06 + 0.12 * (number < 4)), glow=6.0 if number < 4 else 3.5)
        solids.cone((x, y, 0.12), (x + take.between(-0.05, 0.05), y, 0.12 + high), (0.07 - away * 0.3, 0.008), heat)
    return solids


def _firelight(take: Take) -> Staging:
    """A camp fire at night."""
    fire = lamp((0, -0.05, 0.5), (1.0, 0.40, 0.11), take.between(2.2, 3.0), size=0.14)
    figures = tuple(
        take.figure(k, way * take.between(0.75, 0.95), take.between(0.2, 0.55), 180 + way * take.between(25, 55))
        for k, way in enumerate((-1, 1))
    )
    lighting = replace(NIGHT, lights=(fire,), ambient=(0.010, 0.013, 0.028), stars=0.3)
    height = take.between(2.0, 2.5)
    camera = camera_on((0, 0, 0.92), height, take.between(30, 40), elevation=take.between(0, 6))
    where = take.one_of(("field", "beach", "heath"))
    return Staging(take.stage(figures, where, lighting, (_campfire(take),)), camera)


def _artificial(take: Take) -> Staging:
    """A city street at night, lit by lamps and windows."""
    tone = kelvin(take.between(2600, 3300))
    prop = Assembly()
    post = take.side * take.between(0.9, 1.3)
    put.add_street_lamp(prop, post, take.between(0.5, 0.8), 4.0, 3.1)
    lighting = replace(
        NIGHT, stars=0.0,
        lights=(lamp((post, 0.0, 3.1), tone, take.between(7.0, 9.0), size=0.15),
                lamp((-post * 3.2, 1.5, 3.6), tone, 6.0, size=0.15),
                key(-take.side * 35, 12, kelvin(3600), 0.30, distance=4, samples=0)),
    )  # fmt: skip
    camera = camera_on(
        (0, 0, 1.55),
        take.between(2.9, 3.7),
        take.between(26, 34),
        azimuth=take.between(-8, 8),
        elevation=-take.between(0, 4),
    )
    return Staging(take.stage(pair(take), take.one_of(("street", "city")), lighting, (prop,), at_night=True), camera)


LIGHTING_TYPES: dict[str, Recipe] = {
    "Daylight": _daylight,
    "Artificial light": _artificial,
    "Mixed light": lamp_light.mixed,
    "Firelight": _firelight,
    "Moonlight": _moonlight,
    "Practical light": lamp_light.practical,
    "Overcast": _overcast,
    "Sunny": _sunny,
    "Fluorescent": lamp_light.fluorescent,
    "Tungsten": lamp_light.tungsten,
}
