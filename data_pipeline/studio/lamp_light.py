"""Stills for lighting type indoors: bulbs, tubes, a lamp in the frame, and lamp light mixed with daylight."""

from __future__ import annotations

from data_pipeline.studio import furnishings as put
from data_pipeline.studio.figures import Figure
from data_pipeline.studio.lights import Lighting, kelvin, key, lamp
from data_pipeline.studio.solids import Assembly, Material
from data_pipeline.studio.staging import Staging, camera_on
from data_pipeline.studio.take import Take


def pair(take: Take, gap: float = 0.42, turn: float = 30.0) -> tuple[Figure, ...]:
    """Two people talking to each other, or a single person."""
    if take.chance(0.3):
        return (take.figure(0, take.side * 0.1, 0, 180 + take.between(-25, 25)),)
    return tuple(
        take.figure(k, way * gap, take.between(0, 0.25), 180 + way * take.between(0.3, 1) * turn)
        for k, way in enumerate((-1, 1))
    )


def tungsten(take: Take) -> Staging:
    """A room under warm bulbs, without white balance."""
    tone = kelvin(take.between(2500, 2900))
    lighting = Lighting(
        (key(take.side * take.between(25, 55), take.between(12, 20), tone, 2.1, size=0.25, distance=2.9),
         key(-take.side * 60, 14, tone, 0.5, distance=3.0, samples=0)),
        (0.30, 0.19, 0.09), (0.20, 0.13, 0.07), exposure=0.9,
    )  # fmt: skip
    height = take.between(1.2, 1.9)
    camera = camera_on((0, 0, 1.78 - 0.42 * height), height, take.between(32, 44), azimuth=take.between(-8, 8))
    return Staging(take.stage(pair(take), take.one_of(("room", "kitchen")), lighting, at_night=True), camera)


def fluorescent(take: Take) -> Staging:
    """Rows of ceiling tubes: greenish light without distinct shadows."""
    tone = (0.80, 1.0, 0.84)
    high = take.style.scenery("office").room[3]
    tubes = Assembly()
    gap = take.between(1.5, 1.9)
    for x in (-gap, 0.0, gap):
        tubes.cluster()
        for y in (0.4, 2.4):
            tubes.box((x, y, high - 0.03), (0.14, 0.7, 0.03), Material((0.5, 0.52, 0.5)))
            for off in (-0.06, 0.06):
                tubes.cone(
                    (x + off, y - 0.62, high - 0.075),
                    (x + off, y + 0.62, high - 0.075),
                    (0.02, 0.02),
                    Material((0.90, 1.0, 0.93), glow=2.6),
                )
    lighting = Lighting(
        tuple(lamp((x, -0.2, high - 0.25), tone, 2.4, size=0.3, samples=7) for x in (-gap, gap)),
        (0.38, 0.47, 0.40), (0.30, 0.36, 0.31), exposure=0.8, saturation=0.8,
    )  # fmt: skip
    camera = camera_on(
        (0, 0, 1.48),
        take.between(2.3, 2.8),
        take.between(24, 28),
        elevation=-take.between(4, 8),
        azimuth=take.between(-6, 6),
    )
    return Staging(take.stage(pair(take), "office", lighting, (tubes,)), camera)


def practical(take: Take) -> Staging:
    """A lamp in the frame lights the room and the person next to it."""
    side = take.side
    tone, prop = kelvin(take.between(2700, 3200)), Assembly()
    x, y = side * take.between(0.55, 0.7), take.between(0.05, 0.3)
    if take.chance(0.5):
        put.add_table(prop, x, y, (0.4, 0.35), take.style.palette.wood, 0.72)
        put.add_table_lamp(prop, x, y, 0.72, 2.8)
        bulb = (x, y, 1.12)
    else:
        put.add_floor_lamp(prop, x, y + 0.1, 2.8)
        bulb = (x, y + 0.1, 1.55)
    lighting = Lighting(
        (lamp(bulb, tone, take.between(0.8, 1.0), size=0.12), key(side * 20, 10, tone, 0.10, distance=3, samples=0)),
        (0.055, 0.05, 0.05), exposure=1.0, bloom=0.7,
    )  # fmt: skip
    figure = take.figure(
        0, -side * take.between(0.15, 0.3), take.between(-0.1, 0.15), 180 - side * take.between(15, 55)
    )
    height = take.between(1.3, 1.7)
    camera = camera_on(
        (side * 0.15, 0, 1.72 - 0.36 * height), height, take.between(34, 45), azimuth=take.between(-6, 6)
    )
    return Staging(take.stage((figure,), take.one_of(("room", "kitchen")), lighting, (prop,), at_night=True), camera)


def mixed(take: Take) -> Staging:
    """Blue daylight from a window on one side of a face, a warm lamp on the other."""
    side = take.side
    prop = Assembly()
    x, y = side * take.between(0.85, 1.0), take.between(0.2, 0.4)
    put.add_floor_lamp(prop, x, y, 2.6)
    lighting = Lighting(
        (lamp((x, y, 1.55), kelvin(2300), take.between(1.9, 2.3), size=0.12),
         key(-side * take.between(62, 76), take.between(6, 14), (0.26, 0.52, 1.0), take.between(2.2, 2.6),
             size=0.35, distance=2.6)),
        (0.05, 0.07, 0.11), exposure=0.9, bloom=0.5,
    )  # fmt: skip
    figure = take.figure(0, take.between(-0.1, 0.1), 0, 180 + take.between(-12, 12))
    height = take.between(1.25, 1.7)
    camera = camera_on((side * 0.1, 0, 1.74 - 0.38 * height), height, take.between(30, 40), azimuth=take.between(-6, 6))
    return Staging(take.stage((figure,), "room", lighting, (prop,)), camera)
