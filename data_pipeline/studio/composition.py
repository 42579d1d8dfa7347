"""Recipes for stills about composition: where in the frame the weight lies."""

from __future__ import annotations

from data_pipeline.studio.framing import level_camera
from data_pipeline.studio.take import Recipe, Shot, Take, still


def _centre(take: Take) -> Shot:
    return still(take.stage((take.figure(0),)), level_camera(2.1, 1.05, 40))


def _balanced(take: Take) -> Shot:
    """Two weights of different kind, one on each side of the frame."""
    pair = (
        take.figure(0, -0.95 * take.side, turn=25 * take.side),
        take.figure(1, 1.0 * take.side, 0.55, turn=-30 * take.side),
    )
    return still(take.stage(pair), level_camera(2.2, 1.05, 40))


def _symmetrical(take: Take) -> Shot:
    pair = (take.figure(0, -0.75, turn=90), take.figure(0, 0.75, turn=-90)) if take.side < 0 else (take.figure(0),)
    # Light from straight ahead keeps both halves alike.
    light = take.daylight()
    return still(take.stage(pair, type(light)(toward=(0.0, -0.6, 0.8)), "avenue"), level_camera(2.6, 1.25, 30))


def _heavy(side: int) -> Recipe:
    def recipe(take: Take) -> Shot:
        figures = (take.figure(0, 0.95 * side, turn=-8.0 * side), take.figure(1, 1.5 * side, 0.5, turn=-12.0 * side))
        stage = take.stage(figures, where="field")
        return still(stage, level_camera(2.0 + 0.2 * (take.side < 0), 1.05, 40))

    return recipe


def _short_side(take: Take) -> Shot:
    """The figure looks out of the near edge of the frame; the room is behind its back."""
    camera = level_camera(0.8, 1.42, 50, x=-0.42 * take.side)
    return still(take.stage((take.figure(0, 0.0, turn=68 * take.side),)), camera)


COMPOSITIONS: dict[str, Recipe] = {
    "Center": _centre,
    "Balanced": _balanced,
    "Symmetrical": _symmetrical,
    "Left heavy": _heavy(-1),
    "Right heavy": _heavy(1),
    "Short side": _short_side,
}
