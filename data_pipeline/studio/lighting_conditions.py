"""Stills for lighting condition: direction, hardness and contrast of the light on the figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from data_pipeline.studio.appearances import Hat
from data_pipeline.studio.camera import Point, looking_at
from data_pipeline.studio.lights import Disc, Light, Lighting, around, kelvin, key, scaled, sun
from data_pipeline.studio.staging import Recipe, Staging, camera_on
from data_pipeline.studio.take import Take

DARK = Lighting(ambient=(0.02, 0.02, 0.023), exposure=0.85, bloom=0.2)


def _portrait(take: Take, lighting: Callable[[Take, Point], Lighting], where: str | None = None) -> Staging:
    """One figure, close enough that the light is visible on the face."""
    figure = take.figure(0, 0, 0, 180 + take.between(-10, 10))
    figure = replace(figure, appearance=replace(figure.appearance, hat=Hat.NONE))  # a brim would cast extra shadows
    height = take.between(0.62, 0.95)
    camera = camera_on(
        figure.at(1.0 - 0.22 * height), height, take.between(45, 65), azimuth=take.between(-6, 6),
        shift=take.between(-0.08, 0.08), f_number=4.0,
    )  # fmt: skip
    at_night = where is None  # indoors, the window must not outshine the lamps
    where = where or take.one_of(take.style.indoors)
    return Staging(take.stage((figure,), where, lighting(take, figure.at(0.9)), at_night=at_night), camera)


def _side(take: Take, face: Point) -> Lighting:
    lamp = key(
        take.side * take.between(78, 90),
        take.between(2, 12),
        kelvin(take.between(4200, 6000)),
        take.between(3.8, 4.6),
        aim=face,
        distance=2.6,
        size=take.between(0, 0.08),
        cone=26,
    )
    return DARK.lit_by(lamp)


def _top(take: Take, face: Point) -> Lighting:
    lamp = key(
        take.between(-30, 30),
        take.between(74, 80),
        kelvin(take.between(3800, 5600)),
        take.between(3.6, 4.4),
        aim=face,
        distance=1.25,
        size=0.05,
        cone=55,
    )
    return DARK.lit_by(lamp)


def _under(take: Take, face: Point) -> Lighting:
    lamp = key(
        take.between(-14, 14),
        -take.between(50, 58),
        kelvin(take.between(3600, 5600)),
        take.between(2.6, 3.2),
        aim=face,
        distance=1.15,
        size=0.04,
    )
    return DARK.lit_by(lamp)


def _edge(take: Take, face: Point) -> Lighting:
    """Two lamps behind the figure light its outline; the face stays nearly dark."""
    tone = kelvin(take.between(4800, 7200))
    lamps = [
        key(
            way * take.between(140, 152),
            take.between(14, 26),
            tone,
            take.between(3.6, 5.0),
            aim=face,
            distance=2.0,
            size=0.06,
            cone=30,
        )
        for way in (-1, 1)
    ]
    return replace(DARK, ambient=(0.016, 0.016, 0.020)).lit_by(*lamps)


def _high_contrast(take: Take, face: Point) -> Lighting:
    """One hard lamp from high at the side: bright where lit, black elsewhere."""
    lamp = key(
        take.side * take.between(50, 66),
        take.between(24, 36),
        kelvin(take.between(4200, 5600)),
        take.between(2.8, 3.4),
        aim=face,
        distance=2.6,
        cone=take.between(14, 20),
    )
    return replace(DARK, ambient=(0.008, 0.008, 0.010), contrast=1.1).lit_by(lamp)


def _low_contrast(take: Take, face: Point) -> Lighting:
    """Even light with a little haze."""
    lamp = key(take.side * take.between(5, 30), 15, (1, 1, 1), 0.25, size=0.5, distance=3.0, samples=12)
    grey = take.between(0.62, 0.74)
    return Lighting(
        (lamp,), (grey, grey, grey), (grey * 0.9, grey * 0.9, grey * 0.9), fog=(0.60, 0.61, 0.62),
        fog_density=0.03, exposure=0.66, contrast=0.78, saturation=0.7,
        zenith=(0.6, 0.62, 0.65), horizon=(0.7, 0.71, 0.72),
    )  # fmt: skip


def _before_the_wall(size: float, power: float, ambient: float) -> Recipe:
    """A figure with its shadow on the wall behind it: the shadow's edge distinguishes hard light from soft light."""

    def recipe(take: Take) -> Staging:
        side = take.side
        wall = take.style.scenery("bare wall").room[2]
        figure = take.figure(
            0, side * take.between(0.1, 0.25), wall - take.between(0.85, 1.0), 180 + side * take.between(-6, 20)
        )
        position = around(-side * take.between(36, 46), take.between(4, 12), 2.9, figure.at(0.88))
        lamp = Light(
            position, scaled(kelvin(take.between(4200, 5600)), power * 8.5), False, size, figure.at(0.88), samples=48
        )
        height = take.between(1.0, 1.25)
        x, y, z = figure.at(1.03 - 0.27 * height)
        camera = camera_on((x + side * 0.22, y, z), height, take.between(34, 44), azimuth=-side * take.between(0, 6))
        lighting = Lighting((lamp,), (ambient, ambient, ambient), exposure=0.8)
        return Staging(take.stage((figure,), "bare wall", lighting), camera)

    return recipe


def _backlit(take: Take) -> Staging:
    """Against a low sun: a bright outline, with the near side in shade but not black."""
    azimuth = 180 - take.side * take.between(6, 16)
    elevation = take.between(9, 15)
    toward = around(azimuth, elevation, 1.0, (0, 0, 0))
    tone = kelvin(take.between(3600, 4800))
    lighting = Lighting(
        (sun(azimuth, elevation, tone, 6.0, size=0.012),), (0.46, 0.46, 0.50), (0.24, 0.21, 0.19),
        zenith=(0.30, 0.40, 0.62), horizon=(1.25, 0.95, 0.66), clouds=take.between(0.1, 0.5),
        disc=Disc(toward, 1.1, scaled(tone, 14)), fog=(0.95, 0.72, 0.50), fog_density=0.006, exposure=0.62, bloom=0.4,
    )  # fmt: skip
    figure = take.figure(0, 0, 0, 180 + take.between(-25, 25))
    height = take.between(0.9, 1.5)
    x, _, z = figure.at(1.02 - 0.24 * height)
    camera = camera_on(
        (x, 0, z), height, take.between(30, 36), elevation=-take.between(0, 4), shift=take.side * take.between(0.1, 0.2)
    )
    return Staging(take.stage((figure,), take.one_of(("beach", "heath")), lighting), camera)


def _silhouette(take: Take) -> Staging:
    """Black figures in front of a bright sky."""
    warm = take.between(0, 1)
    horizon = (1.25, 0.50 + 0.3 * warm, 0.12 + 0.4 * warm)
    azimuth = 180 + take.between(-14, 14)
    toward = around(azimuth, take.between(3, 9), 1.0, (0, 0, 0))
    lighting = Lighting(
        (), (0.0015, 0.0015, 0.002), zenith=(0.14, 0.16, 0.36), horizon=horizon, clouds=take.between(0.2, 0.6),
        disc=Disc(toward, 1.4, (9, 5, 2.4)), exposure=0.7, contrast=1.1, bloom=0.35, fog=horizon, fog_density=0.001,
    )  # fmt: skip
    count = 1 + int(take.rng.integers(3))
    figures = [
        take.figure(
            k,
            (k - (count - 1) / 2) * take.between(0.85, 1.15),
            0.2 * k,
            take.one_of((90.0, 270.0)) + take.between(-30, 30),
        )
        for k in range(count)
    ]
    height = take.between(1.9, 2.6)
    eye: Point = (take.between(-0.3, 0.3), -height * 16 / 9, take.between(0.25, 0.4))
    camera = looking_at(eye, (0, 0, eye[2] + take.between(0.75, 0.95)), 36 * take.between(0.95, 1.05))
    return Staging(take.stage(figures, take.one_of(("heath", "beach")), lighting), camera)


LIGHTING_CONDITIONS: dict[str, Recipe] = {
    "Side light": lambda take: _portrait(take, _side),
    "Backlight": _backlit,
    "Underlight": lambda take: _portrait(take, _under),
    "Top light": lambda take: _portrait(take, _top),
    "High contrast": lambda take: _portrait(take, _high_contrast),
    "Low contrast": lambda take: _portrait(take, _low_contrast, take.one_of(take.style.outdoors)),
    "Hard light": _before_the_wall(0.0, 1.6, 0.22),
    "Soft light": _before_the_wall(1.1, 1.6, 0.34),
    "Edge light": lambda take: _portrait(take, _edge),
    "Silhouette": _silhouette,
}
