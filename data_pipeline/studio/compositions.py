"""Stills for composition: the visual weight in the frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from data_pipeline.studio.figures import Figure, Pose
from data_pipeline.studio.film_style import INDOORS
from data_pipeline.studio.lighting_presets import blend, corridor_lamps, day, overcast
from data_pipeline.studio.staging import Recipe, Staging, below_headroom, camera_on
from data_pipeline.studio.take import Take

OPEN = ("beach", "heath", "bare wall")  # sets without other visual weight than the figures


def _middle(figures: Sequence[Figure], height: float) -> float:
    """Return the height of the frame's centre: full figures are centred, others get a little headroom."""
    return 0.95 if height > 2.1 else below_headroom(figures, height)


def _centre(take: Take) -> Staging:
    """One figure exactly in the centre; the set is not symmetric."""
    height = take.one_of((take.between(0.7, 1.3), take.between(2.2, 3.0)))
    figures = (take.figure(0, 0, 0, 180 + take.between(-8, 8)),)
    camera = camera_on(
        (0, 0, _middle(figures, height)), height, take.between(32, 50), azimuth=take.side * take.between(3, 14)
    )
    where = take.choose_set((*take.style.outdoors, *take.style.indoors))
    return Staging(take.stage(figures, where), camera)


def _balanced(take: Take) -> Staging:
    """Equal weight on both sides without symmetry: two people at a distance from each other."""
    height = take.between(1.7, 2.4)
    reach = height * take.between(0.42, 0.52)
    side = take.side
    figures = [
        take.figure(0, -side * reach, 0, 180 - side * take.between(-20, 70)),
        take.figure(1, side * reach * 1.05, take.between(0.1, 0.35), 180 + side * take.between(-20, 70)),
    ]
    camera = camera_on((0, 0.1, _middle(figures, height)), height, take.between(32, 45))
    return Staging(take.stage(figures, take.choose_set((*OPEN, *take.style.indoors))), camera)


def _symmetrical(take: Take) -> Staging:
    """Mirror symmetry: an avenue or corridor, with one figure or two in the same pose."""
    where = take.one_of(("avenue", "corridor"))
    plain = Pose(stride=0.0)
    if take.chance(0.5):
        figures: tuple[Figure, ...] = (take.figure(0, 0, 0, take.one_of((180.0, 0.0)), plain),)
    else:
        gap = take.between(0.55, 0.75)
        inward = take.one_of((0.0, 90.0))
        figures = tuple(take.figure(0, way * gap, 0, 180 + way * inward, plain) for way in (-1, 1))
    height = take.between(2.0, 3.2) if where == "avenue" else take.between(1.9, 2.4)
    camera = camera_on((0, 0, _middle(figures, height) + 0.1), height, take.between(22, 32))
    if where == "corridor":
        lighting = corridor_lamps(take.rng)
    elif take.chance(0.5):
        lighting = overcast(take.rng)
    else:
        lighting = day(take.rng, take.style.sun_elevation, take.style.sun_warmth, azimuth=0.0)
    return Staging(take.stage(figures, where, replace(lighting, clouds=0.0)), camera)


def _heavy(way: int) -> Recipe:
    """All weight on one side; the other side is empty."""

    def recipe(take: Take) -> Staging:
        height = take.between(1.2, 2.3)
        count = 1 + int(take.rng.integers(3))
        wide = height * 16 / 9
        first = wide * take.between(0.27, 0.33)
        figures = tuple(
            take.figure(k, way * (first + 0.42 * (k if k < 2 else -1)), 0.3 * k, 180 + way * take.between(-10, 40))
            for k in range(count)
        )
        camera = camera_on(
            (0, 0, _middle(figures, height)), height, take.between(35, 50), azimuth=blend(take.rng, -3, 3)
        )
        return Staging(take.stage(figures, take.choose_set(OPEN)), camera)

    return recipe


def _short_side(take: Take) -> Staging:
    """The figure looks towards the near edge of the frame, with the empty space behind its back."""
    side = take.side
    figure = take.figure(0, 0, 0, 180 - side * take.between(60, 80), Pose())
    height = take.between(0.55, 0.95)
    camera = camera_on(
        (0, 0, below_headroom([figure], height)), height, take.between(45, 70), shift=side * take.between(0.22, 0.27),
        f_number=take.between(2.8, 5.6),
    )  # fmt: skip
    return Staging(take.stage((figure,), take.choose_set((*take.style.outdoors, *INDOORS))), camera)


COMPOSITIONS: dict[str, Recipe] = {
    "Center": _centre,
    "Balanced": _balanced,
    "Symmetrical": _symmetrical,
    "Left heavy": _heavy(-1),
    "Right heavy": _heavy(1),
    "Short side": _short_side,
}
