"""Recipes for stills about framing: shot size, number of figures, angle and lens."""

from __future__ import annotations

from data_pipeline.studio.camera import Camera, Point, distance_for, looking_at
from data_pipeline.studio.figures import STATURE
from data_pipeline.studio.pieces import built
from data_pipeline.studio.solids import Colour, Face, Round, Thing, ball, box, limb, lying
from data_pipeline.studio.take import Recipe, Shot, Take, still


def level_camera(frame_height: float, aim: float, lens: float = 45.0, x: float = 0.0) -> Camera:
    """A level camera whose frame is so many metres high at the figures, its middle at the given height."""
    return Camera((x, -distance_for(frame_height, lens), aim), lens=lens)


def _sized(frame_height: float, aim: float, lens: float) -> Recipe:
    def recipe(take: Take) -> Shot:
        figure = take.figure(0, turn=14.0 * take.side)
        return still(take.stage((figure,)), level_camera(frame_height, aim * STATURE, lens))

    return recipe


SHOT_SIZES: dict[str, Recipe] = {
    "Extreme Close Up": _sized(0.13, 0.925, 75),
    "Close Up": _sized(0.37, 0.915, 65),
    "Medium Close Up": _sized(0.66, 0.855, 55),
    "Medium": _sized(1.02, 0.745, 45),
    "Medium Wide": _sized(1.42, 0.64, 40),
    "Wide": _sized(3.6, 0.72, 32),
    "Extreme Wide": _sized(22.0, 2.6, 26),
}


def _single(take: Take) -> Shot:
    return still(take.stage((take.figure(0, 0.1 * take.side, turn=-20.0 * take.side),)), level_camera(0.95, 1.33))


def _two_shot(take: Take) -> Shot:
    pair = (take.figure(0, -0.38, turn=42), take.figure(1, 0.38, turn=-42))
    return still(take.stage(pair), level_camera(1.1, 1.3))


def _three_shot(take: Take) -> Shot:
    trio = (
        take.figure(0, -0.68, turn=35),
        take.figure(1, 0.02, 0.25, turn=5 * take.side),
        take.figure(2, 0.68, turn=-35),
    )
    return still(take.stage(trio), level_camera(1.45, 1.15))


def _group_shot(take: Take) -> Shot:
    spots = ((-1.6, 0.1), (-0.95, 0.55), (-0.35, -0.05), (0.3, 0.6), (0.95, 0.0), (1.55, 0.45))
    group = tuple(
        take.figure(number, x * take.side, y, turn=-18 * x * take.side) for number, (x, y) in enumerate(spots)
    )
    return still(take.stage(group), level_camera(2.5, 1.0, 35))


def _desk(take: Take) -> Thing:
    """A table top with a cup and what the insert is cut to: a letter with a key on it, or a telephone."""
    planks = tuple(
        lying(-1.4, 1.4, -0.8 + 0.21 * row, -0.6 + 0.21 * row, 0.75, (0.56 - 0.05 * (row % 2), 0.36, 0.21))
        for row in range(10)
    )
    top = lying(-1.4, 1.4, -0.85, 1.4, 0.749, (0.30, 0.18, 0.10))
    ink, x = take.cast[0].shirt, 0.23 * take.side
    cup = (
        Round(((x, 0.09, 0.78), (x, 0.09, 0.83)), ((0.038, 0.038, 0.03), (0.045, 0.045, 0.01)), (0.90, 0.88, 0.82)),
        ball((x, 0.09, 0.838), (0.038, 0.038, 0.003), (0.20, 0.11, 0.06), 0.2, shaded=False),
    )
    faces, rounds = _letter(ink) if take.side > 0 else _telephone()
    return built((top, *planks, *faces), (*rounds, *cup))


def _letter(ink: Colour) -> tuple[tuple[Face, ...], tuple[Round, ...]]:
    lines = tuple(
        lying(-0.07, 0.06 - 0.02 * (row % 3), 0.085 - 0.024 * row, 0.091 - 0.024 * row, 0.763, (0.2, 0.2, 0.3))
        for row in range(7)
    )
    brass: Colour = (0.80, 0.64, 0.22)
    key = (
        limb((0.0, -0.075, 0.768), (0.075, -0.055, 0.768), 0.005, 0.005, brass),
        ball((-0.015, -0.08, 0.768), (0.019, 0.019, 0.005), brass),
    )
    return (
        *box(-0.12, 0.11, -0.13, 0.13, 0.75, 0.76, ink),
        lying(-0.09, 0.08, -0.11, 0.115, 0.762, (0.95, 0.93, 0.87)),
        *lines,
    ), key


def _telephone() -> tuple[tuple[Face, ...], tuple[Round, ...]]:
    grey, green = (0.92, 0.92, 0.94), (0.30, 0.75, 0.40)
    bubbles = tuple(
        lying(left, left + 0.055, y, y + 0.022, 0.7634, colour)
        for left, y, colour in (
            (-0.04, 0.05, grey),
            (-0.012, 0.015, green),
            (-0.04, -0.02, grey),
            (-0.012, -0.055, green),
        )
    )
    screen = lying(-0.046, 0.046, -0.088, 0.088, 0.763, (0.55, 0.72, 0.88))
    return (*box(-0.053, 0.053, -0.103, 0.103, 0.75, 0.762, (0.08, 0.08, 0.09)), screen, *bubbles), ()


def _insert(take: Take) -> Shot:
    camera = looking_at((0.03 * take.side, -0.52, 1.22), (0.03 * take.side, 0.0, 0.76), 48)
    return still(take.stage((), where="room", props=(_desk(take),)), camera)


def _establishing(take: Take) -> Shot:
    pair = (take.figure(0, -0.4), take.figure(1, 0.4))
    camera = looking_at((9.0 * take.side, -24.0, 7.0), (0, 6, 3.6), 24)
    return still(take.stage(pair, where="plaza"), camera)


def _over_the_shoulder(take: Take) -> Shot:
    near, far = (
        take.figure(1, 0.27 * take.side, -1.05, turn=187),
        take.figure(0, -0.12 * take.side, 0.45, turn=6 * take.side),
    )
    camera = looking_at((0.06 * take.side, -1.95, 1.66), (0.0, 0.45, 1.45), 38)
    return still(take.stage((near, far)), camera)


SHOT_FRAMINGS: dict[str, Recipe] = {
    "Single": _single,
    "2 shot": _two_shot,
    "3 shot": _three_shot,
    "Group shot": _group_shot,
    "Insert": _insert,
    "Establishing shot": _establishing,
    "Over the shoulder": _over_the_shoulder,
}


def _angled(position: Point, target: Point, lens: float, roll: float = 0.0, figures: int = 1) -> Recipe:
    def recipe(take: Take) -> Shot:
        spots = ((0, 0), (-1.1, 0.5), (1.3, 0.9), (-0.5, -1.0), (2.2, -0.8), (-2.3, -0.4))[:figures]
        cast = tuple(
            take.figure(number, x, y, turn=15.0 * take.side + 70 * number) for number, (x, y) in enumerate(spots)
        )
        eye = (position[0] * take.side, position[1], position[2])
        return still(take.stage(cast), looking_at(eye, target, lens, roll * take.side))

    return recipe


CAMERA_ANGLES: dict[str, Recipe] = {
    "Aerial": _angled((14.0, -46.0, 40.0), (0, 3, 0), 26, figures=6),
    "Overhead": _angled((0.0, -0.01, 6.6), (0, 0, 0), 28, figures=6),
    "High angle": _angled((0.5, -2.3, 3.4), (0, 0.05, 0.95), 33),
    "Low angle": _angled((0.25, -1.45, 0.2), (0, 0, 1.25), 24),
    "Dutch angle": _angled((0.3, -2.4, 1.45), (0, 0, 1.2), 33, roll=23.0),
}


def _with_lens(lens: float, fisheye: bool = False) -> Recipe:
    """The subject keeps its size whatever the lens, so the lens shows in how large the distance looks."""

    def recipe(take: Take) -> Shot:
        figures = (
            take.figure(0, -0.2 * take.side, turn=10 * take.side),
            take.figure(1, 0.75 * take.side, 1.6, turn=-20 * take.side),
            take.figure(2, 1.35 * take.side, 3.3, turn=-25 * take.side),
        )
        away = distance_for(1.5, lens)
        height = 1.2
        return still(take.stage(figures), Camera((0.0, -away, height), lens=lens, fisheye=fisheye))

    return recipe


LENS_SIZES: dict[str, Recipe] = {
    "Ultra Wide / Fisheye": _with_lens(15.0, fisheye=True),
    "Wide": _with_lens(21.0),
    "Medium": _with_lens(46.0),
    "Long Lens": _with_lens(150.0),
}
