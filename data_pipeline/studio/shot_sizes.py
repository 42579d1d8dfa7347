"""Stills for shot size: the height of the frame at the figure. Ranges of adjacent sizes do not overlap."""

from __future__ import annotations

from typing import NamedTuple

from data_pipeline.studio.staging import Recipe, Staging, camera_on
from data_pipeline.studio.take import Take


class SizeRange(NamedTuple):
    """Ranges to sample from for one shot size."""

    frame: tuple[float, float]  # height of the frame in metres, for a stature of 1.75 m
    aim: tuple[float, float]  # height of the frame's centre, as a share of the stature
    focal_length: tuple[float, float]  # mm, full frame


SIZES: dict[str, SizeRange] = {
    "Extreme Close Up": SizeRange((0.12, 0.16), (0.925, 0.940), (75, 100)),
    "Close Up": SizeRange((0.31, 0.38), (0.918, 0.930), (50, 85)),
    "Medium Close Up": SizeRange((0.57, 0.66), (0.850, 0.870), (40, 75)),
    "Medium": SizeRange((1.0, 1.1), (0.755, 0.775), (35, 60)),
    "Medium Wide": SizeRange((1.34, 1.50), (0.635, 0.655), (32, 50)),
    "Wide": SizeRange((2.35, 4.40), (0.55, 0.70), (24, 40)),
    "Extreme Wide": SizeRange((16.0, 30.0), (1.6, 2.4), (24, 35)),
}


def _sized(name: str) -> Recipe:
    size = SIZES[name]

    def recipe(take: Take) -> Staging:
        facing = 180 + take.side * take.between(4, 34)
        figure = take.figure(0, 0.0, 0.0, facing)
        height = take.between(*size.frame) * figure.scale
        where = _choose_set(take, height)
        shift = take.side * take.between(-0.10, 0.04) if height < 1.8 else take.side * take.between(-0.2, 0.2)
        if name in ("Extreme Close Up", "Close Up"):
            shift *= 0.4
        camera = camera_on(
            figure.face(take.between(*size.aim)) if height < 0.5 else figure.at(take.between(*size.aim)),
            height,
            take.between(*size.focal_length),
            azimuth=take.between(-14, 14),
            elevation=take.between(-3, 5) if height < 4 else take.between(2, 9),
            shift=shift,
            f_number=None if height > 1.8 else take.between(9, 14) if height < 0.2 else take.between(2.8, 5.6),
        )
        return Staging(take.stage((figure,), where), camera)

    return recipe


def _choose_set(take: Take, frame_height: float) -> str:
    if frame_height > 10:
        return take.one_of(("field", "beach", "heath", "city"))
    if frame_height > 2.9:  # rooms are too narrow
        return take.one_of(take.style.outdoors)
    return take.choose_set()


SHOT_SIZES: dict[str, Recipe] = {name: _sized(name) for name in SIZES}
