"""Stills for shot framing: number of people, over the shoulder, inserts and establishing shots."""

from __future__ import annotations

from data_pipeline.studio import inserts
from data_pipeline.studio.appearances import Hair
from data_pipeline.studio.camera import looking_at
from data_pipeline.studio.figures import Figure
from data_pipeline.studio.staging import Recipe, Staging, below_headroom, camera_on
from data_pipeline.studio.take import Take


def _single(take: Take) -> Staging:
    figure = take.figure(0, 0.0, 0.0, 180 + take.side * take.between(5, 40))
    height = take.one_of((take.between(0.6, 0.75), take.between(0.95, 1.5)))
    aim = figure.at(0.86 if height < 0.8 else 0.98 - 0.235 * height)
    camera = camera_on(
        aim, height, take.between(40, 60), azimuth=take.between(-10, 10), shift=take.side * take.between(0.0, 0.14),
        f_number=take.between(2.8, 5.6),
    )  # fmt: skip
    return Staging(take.stage((figure,)), camera)


def _figures_in_a_row(take: Take, spots: tuple[float, ...], inward: float) -> tuple[Figure, ...]:
    """Return figures in a row, facing its centre."""
    figures = []
    for number, x in enumerate(spots):
        facing = 180 + inward * x / max(spots) + take.between(-8, 8)
        figures.append(take.figure(number, x + take.between(-0.03, 0.03), take.between(-0.12, 0.22), facing))
    return tuple(figures)


def _two_shot(take: Take) -> Staging:
    gap = take.between(0.36, 0.46)
    figures = _figures_in_a_row(take, (-gap, gap), take.between(5, 75))
    height = take.between(0.95, 1.6)
    camera = camera_on(
        (0, 0.05, below_headroom(figures, height)),
        height,
        take.between(38, 55),
        azimuth=take.between(-8, 8),
        f_number=5.6,
    )
    return Staging(take.stage(figures), camera)


def _three_shot(take: Take) -> Staging:
    gap = take.between(0.62, 0.76)
    figures = _figures_in_a_row(take, (-gap, take.between(-0.06, 0.06), gap), take.between(10, 55))
    height = take.between(1.25, 1.9)
    camera = camera_on(
        (0, 0.1, below_headroom(figures, height)), height, take.between(35, 48), azimuth=take.between(-5, 5)
    )
    return Staging(take.stage(figures), camera)


def _group(take: Take) -> Staging:
    count = 5 + int(take.rng.integers(3))
    step = take.between(0.60, 0.72)
    figures = tuple(
        take.figure(
            number,
            step * (number - (count - 1) / 2) + take.between(-0.08, 0.08),
            0.55 * (number % 2) + take.between(-0.15, 0.15),
            180 + take.between(-25, 25) + 8 * (number - count / 2),
        )
        for number in range(count)
    )
    height = max(2.2, (step * (count - 1) + 0.9) * 9 / 16) * take.between(1.0, 1.15)
    where = take.choose_set((*take.style.outdoors, "office"))
    camera = camera_on(
        (0, 0.2, 1.0), height, take.between(30, 40), azimuth=take.between(-6, 6), elevation=take.between(0, 6)
    )
    return Staging(take.stage(figures, where), camera)


def _insert(take: Take) -> Staging:
    subject = take.one_of(inserts.SUBJECTS)
    solids = inserts.table(take)
    subject(take, solids.cluster())
    camera = camera_on(
        (take.between(-0.02, 0.02), take.between(-0.01, 0.03), inserts.TOP + 0.01),
        take.between(*inserts.FRAMES[subject]),
        take.between(60, 90),
        azimuth=take.between(-30, 30),
        elevation=take.between(38, 66),
        roll=take.between(-4, 4),
        f_number=take.between(8, 14),
    )
    return Staging(take.stage((), take.one_of(take.style.indoors), props=(solids,)), camera)


def _establishing(take: Take) -> Staging:
    """A complete location in which people are tiny."""
    where = take.one_of(("city", "city", "street", "avenue"))
    figures = tuple(take.figure(k, take.between(-2, 2), take.between(0, 2.5), take.between(0, 360)) for k in range(2))
    if where == "avenue":
        camera = looking_at((take.between(-1, 1), -22, take.between(3.5, 7)), (0, 20, 4.5), take.between(24, 30))
    else:
        eye = (take.side * take.between(4, 12), -take.between(22, 30), take.between(5, 12))
        camera = looking_at(eye, (take.between(-2, 2), 14, take.between(4.5, 6.5)), take.between(22, 28))
    return Staging(take.stage(figures, where), camera)


def _over_the_shoulder(take: Take) -> Staging:
    """From behind a listener, large at the edge of the frame, towards the speaker."""
    side = take.side
    gap = take.between(0.75, 0.9)
    far = take.figure(0, -side * take.between(0.10, 0.16), 0.0, 180 - side * take.between(2, 16))
    listener = next(
        (k for k in range(1, 8) if take.cast[k].hair_style is not Hair.LONG), 1
    )  # shoulders must be visible
    near = take.figure(listener, side * take.between(0.34, 0.40), -gap, take.between(-14, 2) * side)
    away = take.between(0.85, 1.05)
    eye = (side * take.between(0.14, 0.18), -gap - away, near.at(0.955)[2])
    focal = take.between(36, 41)
    target = (-side * take.between(-0.08, -0.02), 0.0, far.at(0.86)[2])
    camera = looking_at(eye, target, focal, focus=gap + away, f_number=take.between(2.8, 5.6))
    return Staging(take.stage((far, near)), camera)


SHOT_FRAMINGS: dict[str, Recipe] = {
    "Single": _single,
    "2 shot": _two_shot,
    "3 shot": _three_shot,
    "Group shot": _group,
    "Insert": _insert,
    "Establishing shot": _establishing,
    "Over the shoulder": _over_the_shoulder,
}
