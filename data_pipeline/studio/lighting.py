"""Recipes for stills about light: what lights the stage."""

from __future__ import annotations

from dataclasses import replace

from data_pipeline.studio.camera import Camera, Point
from data_pipeline.studio.framing import level_camera
from data_pipeline.studio.light import Lamp, Light
from data_pipeline.studio.pieces import built
from data_pipeline.studio.solids import Colour, Thing, ball, limb, quad, upright
from data_pipeline.studio.take import Recipe, Shot, Take, still

NIGHT: Colour = (0.02, 0.03, 0.07)


def _lit(
    light: Light, where: str = "", frame_height: float = 1.5, aim: float = 1.2, props: tuple[Thing, ...] = ()
) -> Recipe:
    """Two figures under a light; on the second take the light comes from the other side."""

    def recipe(take: Take) -> Shot:
        figures = (take.figure(0, -0.35, turn=12), take.figure(1, 0.62, 0.5, turn=-28))
        turned = replace(light, toward=(light.toward[0] * take.side, *light.toward[1:]))
        turned = replace(turned, rim_from=(light.rim_from[0] * take.side, light.rim_from[1]))
        return still(take.stage(figures, turned, where, props), level_camera(frame_height, aim, 42))

    return recipe


def disc(spot: Point, wide: float, colour: Colour) -> Thing:
    return built(rounds=(ball(spot, wide, colour, shaded=False),))


DAYLIGHT = Light()
SUNNY = Light(
    toward=(-0.8, -0.35, 0.75),
    key=(0.88, 0.82, 0.66),
    ambient=(0.34, 0.37, 0.44),
    zenith=(0.15, 0.42, 0.85),
    horizon=(0.66, 0.83, 0.97),
    shadow=0.55,
    hard=True,
    saturation=1.2,
    contrast=1.08,
)
OVERCAST = Light(
    toward=(0.0, -0.2, 1.0),
    key=(0.16, 0.17, 0.18),
    ambient=(0.58, 0.60, 0.63),
    zenith=(0.60, 0.63, 0.67),
    horizon=(0.80, 0.81, 0.83),
    shadow=0.0,
    saturation=0.6,
    contrast=0.95,
    tint=(1.1, 1.11, 1.13),
)
MOONLIGHT = Light(
    toward=(-0.8, 0.15, 0.7),
    key=(0.34, 0.46, 0.74),
    ambient=(0.07, 0.10, 0.19),
    zenith=(0.015, 0.025, 0.075),
    horizon=(0.06, 0.10, 0.22),
    shadow=0.5,
    hard=True,
    saturation=0.6,
    tint=(0.75, 0.95, 1.3),
)


def _moonlit(take: Take) -> Shot:
    stars = tuple(
        disc((-90 + 17.3 * number % 180, 160, 34 + 29.0 * number % 41), 0.28, (0.8, 0.85, 0.95)) for number in range(40)
    )
    moon = disc((-34.0 * take.side, 158, 47), 5.0, (0.92, 0.94, 1.0))
    light = replace(
        MOONLIGHT,
        toward=(MOONLIGHT.toward[0] * take.side, *MOONLIGHT.toward[1:]),
        lamps=(Lamp((-34.0 * take.side, 158, 47), 1.0, (0.5, 0.6, 0.9), 0.5, 14.0),),
    )
    figures = (take.figure(0, -0.35, turn=12), take.figure(1, 0.62, 0.5, turn=-28))
    camera = Camera((0.0, -4.6, 1.1), pitch=5.0, lens=30)
    return still(take.stage(figures, light, props=(*stars, moon)), camera)


def _fire(x: float, y: float) -> tuple[Thing, ...]:
    """A camp fire: logs, and tongues of flame one inside the other."""
    tongues: list[Thing] = []
    for share, colour in ((1.0, (0.95, 0.30, 0.04)), (0.68, (1.0, 0.62, 0.10)), (0.38, (1.0, 0.95, 0.62))):
        edge = [(-0.24, 0.0), (-0.27, 0.22), (-0.17, 0.36), (-0.13, 0.24), (-0.05, 0.66), (0.05, 0.34), (0.14, 0.50)]
        edge += [(0.21, 0.24), (0.25, 0.1), (0.2, 0.0)]
        front = 0.02 * share
        tongues.append(
            built((quad([(x + a * share, y - front, 0.06 + z * share) for a, z in reversed(edge)], colour, True),))
        )
    logs = tuple(
        limb((x - 0.32 * way, y, 0.05), (x + 0.32 * way, y + 0.12, 0.10), 0.05, 0.05, (0.25, 0.15, 0.09))
        for way in (-1, 1)
    )
    return (built(rounds=logs), *tongues)


def _firelit(take: Take) -> Shot:
    x, y = 0.1 * take.side, -0.75
    glow = Lamp((x, y, 0.35), 1.15, (1.9, 0.95, 0.32), 0.35, 0.5)
    light = Light((0.3 * take.side, -0.7, -0.25), (0.85, 0.62, 0.42), (0.22, 0.16, 0.13), NIGHT, NIGHT, shadow=0.0)
    light = replace(light, scenery=0.45, lamps=(glow,), beyond_lamps=0.10)
    figures = (take.figure(0, -0.72, 0.1, turn=40), take.figure(1, 0.85, 0.1, turn=-40))
    return still(take.stage(figures, light, "field", _fire(x, y)), Camera((0, -4.3, 1.05), lens=32, pitch=-1))


TUNGSTEN = Light(
    toward=(-0.6, -0.6, 0.5),
    key=(0.70, 0.48, 0.22),
    ambient=(0.42, 0.27, 0.13),
    shadow=0.35,
    blur=9,
    tint=(1.08, 0.95, 0.75),
)
FLUORESCENT = Light(
    toward=(0.05, -0.3, 1.0), key=(0.34, 0.42, 0.36), ambient=(0.50, 0.60, 0.53), shadow=0.0, saturation=0.8
)


def _under_tubes(take: Take) -> Shot:
    tubes = tuple(
        built(
            (
                quad(
                    [(x - 0.09, y + 1.2, 2.98), (x + 0.09, y + 1.2, 2.98), (x + 0.09, y, 2.98), (x - 0.09, y, 2.98)],
                    (0.96, 1.0, 0.97),
                    True,
                ),
            )
        )
        for y in (-1.6, 0.4)
        for x in (-1.5, 0.0, 1.5)
    )
    halos = tuple(Lamp((x, 0.9, 2.98), 0.9, (0.25, 0.30, 0.26), 0.5, 0.35) for x in (-1.5, 0.0, 1.5))
    figures = (take.figure(0, -0.5 * take.side, turn=12), take.figure(1, 0.6 * take.side, 0.5, turn=-28))
    light = replace(FLUORESCENT, lamps=halos, beyond_lamps=0.92)
    return still(take.stage(figures, light, "room", tubes), Camera((0, -4.4, 1.3), lens=27, pitch=3.5))


def _by_a_lamp(take: Take) -> Shot:
    """A table lamp in the frame lights the room that is dark otherwise."""
    x = 0.75 * take.side
    shade = quad(
        [(x - 0.19, 0.15, 1.12), (x + 0.19, 0.15, 1.12), (x + 0.11, 0.15, 1.42), (x - 0.11, 0.15, 1.42)],
        (1.0, 0.88, 0.58),
        True,
    )
    stand = built((shade,), (limb((x, 0.16, 0.72), (x, 0.16, 1.14), 0.025, 0.02, (0.25, 0.18, 0.1)),))
    table = built((upright(x - 0.4, x + 0.4, 0.0, 0.72, 0.1, (0.36, 0.22, 0.13)),))
    glow = Lamp((x, 0.15, 1.28), 0.95, (1.25, 0.95, 0.55), 0.55, 0.33)
    light = Light(
        (0.9 * take.side, -0.25, 0.0),
        (0.9, 0.75, 0.5),
        (0.22, 0.20, 0.19),
        shadow=0.0,
        lamps=(glow,),
        beyond_lamps=0.16,
    )
    figures = (take.figure(0, -0.25 * take.side, 0.1, turn=35 * take.side),)
    return still(take.stage(figures, light, "room", (table, stand)), level_camera(1.55, 1.15, 40))


LIGHTING_TYPES: dict[str, Recipe] = {
    "Daylight": _lit(DAYLIGHT, frame_height=2.3),
    "Sunny": _lit(SUNNY, frame_height=2.6, aim=1.1),
    "Overcast": _lit(OVERCAST, frame_height=2.3),
    "Moonlight": _moonlit,
    "Firelight": _firelit,
    "Tungsten": _lit(TUNGSTEN, "room", 1.6),
    "Fluorescent": _under_tubes,
    "Practical light": _by_a_lamp,
}
