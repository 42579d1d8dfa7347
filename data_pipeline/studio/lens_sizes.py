"""Stills for lens size. The nearest figure has the same size for all lenses; the background reveals the lens."""

from __future__ import annotations

from dataclasses import replace

from data_pipeline.studio.camera import Camera, looking_at
from data_pipeline.studio.figures import Figure
from data_pipeline.studio.staging import Recipe, Staging, below_headroom, camera_on
from data_pipeline.studio.take import Take

LENS_SETS = ("city", "avenue")  # sets with straight lines and objects at many distances


def _staggered(take: Take) -> tuple[Figure, ...]:
    """Return one near figure and two others, farther away and to one side."""
    side = take.side
    spots = [
        (-0.22, 0.0),
        (take.between(0.5, 0.75), take.between(1.5, 2.0)),
        (take.between(1.0, 1.5), take.between(3.4, 4.2)),
    ]
    return tuple(
        take.figure(number, side * x, y, 180 + side * take.between(-5, 30)) for number, (x, y) in enumerate(spots)
    )


def _with_lens(shortest: float, longest: float, f_number: float | None) -> Recipe:
    def recipe(take: Take) -> Staging:
        figures = _staggered(take)
        height = take.between(1.25, 1.7)
        camera = camera_on(
            (0.05 * take.side, 0, below_headroom(figures[:1], height)), height, take.between(shortest, longest),
            azimuth=take.between(-4, 4), f_number=f_number,
        )  # fmt: skip
        return Staging(take.stage(figures, take.one_of(LENS_SETS)), camera)

    return recipe


def _ultra_wide(take: Take) -> Staging:
    """A fisheye that bends all lines, or a wide lens at close range that stretches the edges."""
    figures = _staggered(take)
    stage = take.stage(figures, take.one_of((*LENS_SETS, "corridor")))
    if take.chance(0.65):
        eye = (take.between(-0.1, 0.1), -take.between(0.75, 1.0), take.between(1.3, 1.6))
        camera: Camera = looking_at(eye, (0, 0, take.between(1.2, 1.4)), take.between(11.0, 12.5), fisheye=True)
        return Staging(stage, camera)
    near = replace(figures[0], x=figures[0].x * 2.0)
    eye = (0.0, -take.between(0.80, 0.95), take.between(1.25, 1.5))
    camera = looking_at(eye, (0, 0, 1.3), take.between(11, 13))
    return Staging(replace(stage, figures=(near, *figures[1:])), camera)


LENS_SIZES: dict[str, Recipe] = {
    "Ultra Wide / Fisheye": _ultra_wide,
    "Wide": _with_lens(19, 24, None),
    "Medium": _with_lens(42, 56, 5.6),
    "Long Lens": _with_lens(130, 200, 4.0),
}
