"""Recipes for stills about how light falls on the figures: its direction, its contrast, its edges."""

from __future__ import annotations

from dataclasses import replace

from data_pipeline.studio.camera import Camera
from data_pipeline.studio.framing import level_camera
from data_pipeline.studio.light import Lamp, Light
from data_pipeline.studio.lighting import disc
from data_pipeline.studio.solids import Colour
from data_pipeline.studio.take import Recipe, Shot, Take, still

DARK: Colour = (0.035, 0.035, 0.045)
WHITE: Colour = (1.0, 0.97, 0.92)
SIDE = Light((-1.0, -0.06, 0.08), WHITE, (0.06, 0.06, 0.08), shadow=0.0, hard=True, scenery=0.45)
UNDER = Light((0.05, -0.35, -0.9), WHITE, (0.07, 0.06, 0.07), shadow=0.0, hard=True, scenery=0.3)
TOP = Light((0.05, -0.12, 1.0), WHITE, (0.07, 0.07, 0.08), shadow=0.7, hard=True, scenery=0.3)
EDGE = Light((0.0, 1.0, 0.2), DARK, DARK, DARK, DARK, shadow=0.0, scenery=0.25, rim=WHITE)
SUNSET = Light(
    (-0.3, 1.0, 0.25), (0.0, 0.0, 0.0), (0.012, 0.01, 0.014), (0.42, 0.26, 0.45), (1.0, 0.60, 0.22), shadow=0.0
)
BACKLIT = Light(
    (-0.12, 1.0, 0.42),
    (0.75, 0.62, 0.45),
    (0.24, 0.22, 0.24),
    (0.62, 0.70, 0.84),
    (1.0, 0.95, 0.82),
    shadow=0.6,
    rim=(1.0, 0.93, 0.76),
)
NOIR = Light(
    (-0.9, -0.5, 0.45),
    (1.25, 1.22, 1.15),
    (0.02, 0.02, 0.025),
    shadow=0.9,
    hard=True,
    scenery=0.6,
    contrast=1.5,
    saturation=0.45,
)
HAZE = Light(
    (0.2, -0.6, 0.8),
    (0.22, 0.22, 0.22),
    (0.55, 0.56, 0.57),
    (0.78, 0.80, 0.82),
    (0.84, 0.85, 0.86),
    0.0,
    lift=0.14,
    contrast=0.62,
    saturation=0.65,
)
HARD = Light((-0.42, -0.9, 0.10), (0.85, 0.82, 0.76), (0.24, 0.24, 0.26), shadow=0.72, hard=True)
SOFT = Light((-0.42, -0.9, 0.10), (0.42, 0.41, 0.40), (0.50, 0.50, 0.50), shadow=0.22, blur=26)


def _portrait(light: Light, where: str = "room") -> Recipe:
    """One figure near the camera, so that the light can be read on the face."""

    def recipe(take: Take) -> Shot:
        turned = replace(light, toward=(light.toward[0] * take.side, *light.toward[1:]))
        turned = replace(turned, rim_from=(light.rim_from[0] * take.side, light.rim_from[1]))
        figure = take.figure(0, -0.12 * take.side, turn=8 * take.side)
        return still(take.stage((figure,), turned, where), level_camera(0.8, 1.42, 50))

    return recipe


def _before_the_wall(light: Light) -> Recipe:
    """A figure whose shadow falls on the wall behind it: its edge tells hard light from soft."""

    def recipe(take: Take) -> Shot:
        turned = replace(light, toward=(light.toward[0] * take.side, *light.toward[1:]))
        figure = take.figure(0, -0.45 * take.side, 1.1, turn=-10 * take.side)
        return still(take.stage((figure,), turned, "room"), level_camera(1.5, 1.2, 36))

    return recipe


def _backlit(take: Take) -> Shot:
    x = -9.0 * take.side
    sun = disc((x, 80, 21), 3.4, (1.0, 0.98, 0.9))
    glare = Lamp((x, 80, 21), 40.0, (0.35, 0.30, 0.22), 0.75, 12.0)
    light = replace(BACKLIT, toward=(x / 80, 1.0, 0.3), lamps=(glare,), beyond_lamps=0.9)
    figure = take.figure(0, 0.2 * take.side, turn=10 * take.side)
    return still(take.stage((figure,), light, "field", (sun,)), Camera((0, -2.7, 1.2), lens=35, pitch=3))


def _silhouetted(take: Take) -> Shot:
    x = -16.0 * take.side
    sun = disc((x, 120, 14), 6.0, (1.0, 0.90, 0.60))
    figures = (take.figure(0, -0.45, turn=75), take.figure(1, 0.55, 0.1, turn=-75))
    light = replace(SUNSET, lamps=(Lamp((x, 120, 14), 1.0, (1.0, 0.6, 0.2), 0.3, 16.0),))
    return still(take.stage(figures, light, "heath", (sun,)), Camera((0, -3.9, 0.7), lens=34, pitch=4.5))


LIGHTING_CONDITIONS: dict[str, Recipe] = {
    "Side light": _portrait(SIDE),
    "Backlight": _backlit,
    "High contrast": _portrait(NOIR),
    "Silhouette": _silhouetted,
    "Edge light": _portrait(EDGE),
    "Underlight": _portrait(UNDER),
    "Top light": _portrait(TOP),
    "Low contrast": _portrait(HAZE, ""),
    "Hard light": _before_the_wall(HARD),
    "Soft light": _before_the_wall(SOFT),
}
