"""Recipes for clips: how the camera moves, frame by frame, on a stage where nothing else moves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from data_pipeline.studio.camera import Camera, looking_at
from data_pipeline.studio.paint import Stage
from data_pipeline.studio.take import Recipe, Shot, Take

FRAMES = 40
FRAME_RATE = 24
LENS = 30.0
EYE = 1.45
AWAY = 5.6

Move = Callable[[float, Take], Camera]


def _eased(share: float) -> float:
    """From 0 to 1 with a soft start and a soft stop, like a hand on a geared head."""
    return 0.5 * share + 0.5 * share * share * (3 - 2 * share)


@lru_cache(maxsize=8)
def _stage(take: Take) -> Stage:
    """The stage of a scene's clips; one for all moves, so that what is known of it need not be worked out again."""
    return take.stage(
        (
            take.figure(0, -0.15 * take.side, 0.0, turn=10 * take.side),
            take.figure(1, 1.25 * take.side, 1.6, turn=-30 * take.side),
            take.figure(2, -1.7 * take.side, 2.6, turn=35 * take.side),
        )
    )


def _clip(move: Move, backwards: bool = False) -> Recipe:
    def recipe(take: Take) -> Shot:
        shares = [_eased(number / (FRAMES - 1)) for number in range(FRAMES)]
        if backwards:
            shares.reverse()
        return Shot(_stage(take), tuple(move(share, take) for share in shares))

    return recipe


def _at_rest(take: Take) -> Camera:
    return Camera((0.0, -AWAY, EYE), pitch=-3.0, lens=LENS)


def _static(share: float, take: Take) -> Camera:
    return replace(_at_rest(take), position=(0.3 * take.side, -AWAY, EYE))


def _push_in(share: float, take: Take) -> Camera:
    return Camera((0.0, -6.6 + 4.4 * share, EYE - 0.05), pitch=-1.5, lens=LENS)


def _zoom_in(share: float, take: Take) -> Camera:
    """The subject grows as much as when the camera is pushed in; from the same spot, so all else grows as much."""
    return Camera((0.0, -6.6, EYE - 0.05), pitch=-1.5, lens=LENS * 6.6 / (6.6 - 4.4 * share))


def _pan_right(share: float, take: Take) -> Camera:
    return replace(_at_rest(take), yaw=-20.0 + 40.0 * share)


def _tilt_up(share: float, take: Take) -> Camera:
    return replace(_at_rest(take), pitch=-20.0 + 36.0 * share)


def _boom_up(share: float, take: Take) -> Camera:
    return replace(_at_rest(take), position=(0.0, -AWAY, 0.45 + 2.2 * share))


def _truck_right(share: float, take: Take) -> Camera:
    return replace(_at_rest(take), position=(-1.6 + 3.2 * share, -AWAY, EYE))


def _roll(share: float, take: Take) -> Camera:
    return replace(_at_rest(take), roll=take.side * 38.0 * share)


def _arc(share: float, take: Take) -> Camera:
    angle = math.radians(take.side * (-38.0 + 76.0 * share))
    return looking_at((4.6 * math.sin(angle), -4.6 * math.cos(angle), EYE), (0.0, 0.0, 1.15), LENS)


def _dolly_zoom(share: float, take: Take) -> Camera:
    """The lens follows the distance, so the subject keeps its size while the distance behind it swells."""
    away = 2.2 + 6.8 * (share if take.side > 0 else 1 - share)
    return Camera((-0.15 * take.side, -away, 1.2), lens=13.0 * away)


CAMERA_MOVEMENTS: dict[str, Recipe] = {
    "Static shot": _clip(_static),
    "Push in": _clip(_push_in),
    "Pull out": _clip(_push_in, backwards=True),
    "Pan left": _clip(_pan_right, backwards=True),
    "Pan right": _clip(_pan_right),
    "Tilt up": _clip(_tilt_up),
    "Tilt down": _clip(_tilt_up, backwards=True),
    "Boom up": _clip(_boom_up),
    "Boom down": _clip(_boom_up, backwards=True),
    "Move to the left": _clip(_truck_right, backwards=True),
    "Move to the right": _clip(_truck_right),
    "Zoom in": _clip(_zoom_in),
    "Zoom out": _clip(_zoom_in, backwards=True),
    "Camera roll": _clip(_roll),
    "Arc": _clip(_arc),
    "Dolly zoom": _clip(_dolly_zoom),
}
