"""Stills for camera angle: elevation and roll of the camera."""

from __future__ import annotations

from data_pipeline.studio import lighting_presets
from data_pipeline.studio.camera import looking_at
from data_pipeline.studio.figures import Figure
from data_pipeline.studio.lights import Lighting
from data_pipeline.studio.staging import Recipe, Staging, camera_on
from data_pipeline.studio.take import Take


def _scattered(take: Take, count: int, reach: float) -> tuple[Figure, ...]:
    """Return figures at random positions, walking in random directions."""
    figures: list[Figure] = []
    while len(figures) < count:
        x, y = take.between(-reach, reach), take.between(-reach, reach) * 0.6
        if all((x - other.x) ** 2 + (y - other.y) ** 2 > 0.8 for other in figures):
            pose = take.pose(walk=take.between(0, 1))
            figures.append(take.figure(len(figures), x, y, take.between(0, 360), pose))
    return tuple(figures)


def _sun(take: Take) -> Lighting:
    """A clear day: shadows make people visible from above, and the blue sky from below."""
    return lighting_presets.day(take.rng, take.style.sun_elevation, take.style.sun_warmth)


def _aerial(take: Take) -> Staging:
    where = take.one_of(("city", "city", "field"))
    high = take.between(38, 60)
    eye = (take.side * take.between(8, 25), -take.between(40, 60), high)
    camera = looking_at(eye, (0, take.between(5, 12), 0), take.between(24, 30))
    return Staging(take.stage(_scattered(take, 5, 5), where, _sun(take)), camera)


def _overhead(take: Take) -> Staging:
    count = 1 + int(take.rng.integers(5))
    figures = _scattered(take, count, 0.4 + 0.35 * count)
    where = take.one_of(take.style.outdoors)
    target = (sum(figure.x for figure in figures) / count, sum(figure.y for figure in figures) / count, 0.9)
    camera = camera_on(
        target, take.between(2.2, 2.8) + 0.35 * count, take.between(26, 40), elevation=take.between(87, 90)
    )
    return Staging(take.stage(figures, where, _sun(take)), camera)


def _high(take: Take) -> Staging:
    figure = take.figure(0, 0, 0, 180 + take.between(-30, 30))
    camera = camera_on(
        figure.at(0.62), take.between(1.4, 2.3), take.between(28, 40), azimuth=take.between(-35, 35),
        elevation=take.between(34, 48), shift=take.between(-0.1, 0.1),
    )  # fmt: skip
    return Staging(take.stage((figure,), take.one_of(take.style.outdoors), _sun(take)), camera)


def _low(take: Take) -> Staging:
    figure = take.figure(0, 0, 0, 180 + take.between(-25, 25))
    camera = camera_on(
        figure.at(0.72), take.between(1.3, 1.8), take.between(22, 28), azimuth=take.between(-25, 25),
        elevation=-take.between(34, 46), shift=take.between(-0.08, 0.08),
    )  # fmt: skip
    return Staging(take.stage((figure,), take.one_of(take.style.outdoors), _sun(take)), camera)


def _dutch(take: Take) -> Staging:
    figures = [take.figure(0, 0, 0, 180 + take.between(-30, 30))]
    if take.chance(0.4):
        figures.append(
            take.figure(1, take.side * take.between(0.55, 0.8), take.between(0.1, 0.6), 180 + take.between(-30, 30))
        )
    height = take.between(0.75, 1.5)
    camera = camera_on(
        (0.15 * take.side, 0, 1.74 - 0.42 * height), height, take.between(28, 45), azimuth=take.between(-15, 15),
        roll=take.side * take.between(14, 27),
    )  # fmt: skip
    return Staging(take.stage(figures), camera)


CAMERA_ANGLES: dict[str, Recipe] = {
    "Aerial": _aerial,
    "Overhead": _overhead,
    "High angle": _high,
    "Low angle": _low,
    "Dutch angle": _dutch,
}
