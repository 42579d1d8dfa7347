"""Stills match their labels, as measured by masks, projections and brightness for many seeds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

pytestmark = pytest.mark.slow  # renders

from data_pipeline.studio.film_style import film_style
from data_pipeline.studio.render import SET, SKY, Frame
from data_pipeline.studio.shot_sizes import SIZES
from data_pipeline.studio.stills import StagedShot, staged_still, staging, still_terms
from lmms_eval_shotbench import vocabulary
from lmms_eval_shotbench.vocabulary import Dimension

Tones: TypeAlias = npt.NDArray[np.float64]
TINY = (128, 72)
# Figure height as a share of the frame height; the frame cuts at eyes, chin, chest, waist, knees, or not at all.
HEIGHTS = {
    "Extreme Close Up": (7.5, 16),
    "Close Up": (4.2, 6.2),
    "Medium Close Up": (2.5, 3.4),
    "Medium": (1.55, 1.85),
    "Medium Wide": (1.1, 1.4),
    "Wide": (0.36, 0.82),
    "Extreme Wide": (0.03, 0.13),
}


@cache
def still(dimension: Dimension, name: str, film: int = 0) -> StagedShot:
    return staged_still(film_style(7, film), dimension, dimension.term(name), film, TINY)


def stills(dimension: Dimension, name: str, count: int = 3) -> Iterator[StagedShot]:
    return (still(dimension, name, film) for film in range(count))


def shares(frame: Frame) -> list[float]:
    """Return the share of the frame covered by each figure, in descending order."""
    return sorted((float((frame.ids == number).mean()) for number in range(1, frame.ids.max() + 1)), reverse=True)


def grey(frame: Frame) -> Tones:
    return np.asarray(frame.rgb.astype(np.float64).mean(-1))


def test_projected_heights_match_shot_sizes_without_overlap() -> None:
    assert set(HEIGHTS) == set(SIZES)
    edges = [edge for low, high in reversed(HEIGHTS.values()) for edge in (low, high)]
    assert edges == sorted(edges)
    for name, (low, high) in HEIGHTS.items():
        for film in range(20):
            staged = staging(film_style(7, film), vocabulary.SHOT_SIZE, vocabulary.SHOT_SIZE.term(name), film)
            assert low <= staged.stage.figures[0].height_in_frame(staged.camera, TINY) <= high, (name, film)


def test_wider_sizes_have_smaller_masks_that_touch_the_expected_edges() -> None:
    for film in range(2):
        areas = []
        for name in SIZES:
            mask = still(vocabulary.SHOT_SIZE, name, film).frames[0].figure_mask(1)
            areas.append(int(mask.sum()))
            assert mask[-1].any() == (name not in ("Wide", "Extreme Wide")), (name, film)
            assert mask[0].any() <= (name in ("Extreme Close Up", "Close Up")), (name, film)
        assert areas[0] > areas[2] > areas[3] > areas[4] > areas[5] > areas[6] > 0


@pytest.mark.parametrize(
    ("name", "least", "most"), [("Single", 1, 1), ("2 shot", 2, 2), ("3 shot", 3, 3), ("Group shot", 5, 7)]
)
def test_the_number_of_masks_matches_the_framing(name: str, least: int, most: int) -> None:
    for shot in stills(vocabulary.SHOT_FRAMING, name):
        people = [share for share in shares(shot.frames[0]) if share > 0.005]
        assert least <= len(people) <= most
        assert people[-1] > 0.25 * people[0]


def test_masks_of_inserts_establishing_shots_and_over_the_shoulder_shots() -> None:
    for shot in stills(vocabulary.SHOT_FRAMING, "Insert"):
        assert shares(shot.frames[0]) == []
    for shot in stills(vocabulary.SHOT_FRAMING, "Establishing shot"):
        assert sum(shares(shot.frames[0])) < 0.01
    for shot in stills(vocabulary.SHOT_FRAMING, "Over the shoulder"):
        far, near = (shot.frames[0].figure_mask(number) for number in (1, 2))
        assert near.mean() < 0.4 and far.mean() > 0.04
        assert shot.frames[0].depth[near].mean() < 0.6 * shot.frames[0].depth[far].mean()
        sides = [np.nonzero(mask)[1].mean() / TINY[0] for mask in (near, far)]
        assert abs(sides[0] - 0.5) > 0.2 and abs(sides[1] - 0.5) < 0.25


def test_camera_angles_match_their_labels() -> None:
    pitches = {"Aerial": (-60, -25), "Overhead": (-90, -85), "High angle": (-52, -30), "Low angle": (25, 50)}
    for name, (low, high) in pitches.items():
        for shot in stills(vocabulary.CAMERA_ANGLE, name):
            assert low <= shot.cameras[0].pitch <= high and shot.cameras[0].roll == 0
            if name != "Overhead":
                assert (max(shot.figure_heights) < 0.06) == (name == "Aerial")
    for shot in stills(vocabulary.CAMERA_ANGLE, "Dutch angle", 6):
        assert 12 <= abs(shot.cameras[0].roll) <= 30 and abs(shot.cameras[0].pitch) < 15


def test_longer_lenses_narrow_the_field_and_enlarge_the_far_figure() -> None:
    names = [term.name for term in still_terms(vocabulary.LENS_SIZE)]
    for film in range(3):
        shots = [still(vocabulary.LENS_SIZE, name, film) for name in names]
        fields = [shot.cameras[0].half_field for shot in shots]
        assert all(wide > 1.3 * narrow for wide, narrow in pairwise(fields))
        ratios = [shot.figure_heights[1] / shot.figure_heights[0] for shot in shots[1:]]
        assert ratios[0] < 0.6 and ratios[0] < ratios[1] < ratios[2] > 0.76


def test_brightness_of_silhouettes_and_edge_lights() -> None:
    for shot in stills(vocabulary.LIGHTING_CONDITION, "Silhouette"):
        frame = shot.frames[0]
        figures = frame.ids > SET
        assert np.median(grey(frame)[figures]) < 12 < 90 < grey(frame)[frame.ids == SKY].mean()
    for shot in stills(vocabulary.LIGHTING_CONDITION, "Edge light"):
        mask = shot.frames[0].figure_mask(1)
        inner = mask & np.roll(mask, 4, 0) & np.roll(mask, 5, 1) & np.roll(mask, -5, 1)
        assert grey(shot.frames[0])[mask & ~inner].mean() > 2 * grey(shot.frames[0])[inner].mean()


def test_light_comes_from_the_labelled_direction() -> None:
    for shot in stills(vocabulary.LIGHTING_CONDITION, "Side light"):
        rows, columns = np.nonzero(shot.frames[0].figure_mask(1))
        middle, tones = np.median(columns), grey(shot.frames[0])[rows, columns]
        sides = sorted((tones[columns < middle].mean(), tones[columns > middle].mean()))
        assert sides[1] > 1.8 * sides[0]
    top, under = (still(vocabulary.LIGHTING_CONDITION, name) for name in ("Top light", "Underlight"))
    lights = [staging(film_style(7, 0), shot.dimension, shot.term).stage.lighting.lights[0] for shot in (top, under)]
    assert lights[0].position[2] > 2.3 and lights[1].position[2] < 1.2


def test_contrast_and_colour_match_the_label() -> None:
    for film in range(2):
        high, low = (
            still(vocabulary.LIGHTING_CONDITION, name, film).frames[0] for name in ("High contrast", "Low contrast")
        )
        assert np.percentile(grey(high), 50) < 25 < 100 < np.percentile(grey(high), 98)
        assert 45 < np.percentile(grey(low), 2) < np.percentile(grey(low), 98) < 215
        red_over_blue = {}
        for name in ("Moonlight", "Tungsten", "Firelight"):
            red, _, blue = still(vocabulary.LIGHTING_TYPE, name, film).frames[0].rgb.mean((0, 1))
            red_over_blue[name] = red / blue
        assert red_over_blue["Moonlight"] < 0.9 and min(red_over_blue["Tungsten"], red_over_blue["Firelight"]) > 1.35


def test_the_visual_weight_matches_the_composition() -> None:
    for film in range(3):
        centre = {}
        for name in ("Center", "Balanced", "Left heavy", "Right heavy", "Short side", "Symmetrical"):
            frame = still(vocabulary.COMPOSITION, name, film).frames[0]
            centre[name] = float(np.nonzero(frame.ids > SET)[1].mean()) / TINY[0]
        assert centre["Left heavy"] < 0.32 and centre["Right heavy"] > 0.68
        assert abs(centre["Center"] - 0.5) < 0.05 and abs(centre["Balanced"] - 0.5) < 0.12
        assert abs(centre["Symmetrical"] - 0.5) < 0.03 and abs(centre["Short side"] - 0.5) > 0.15


def test_symmetrical_stills_nearly_equal_their_mirror_image() -> None:
    def asymmetry(name: str, film: int) -> float:
        tones = grey(still(vocabulary.COMPOSITION, name, film).frames[0])
        return float(np.abs(tones - tones[:, ::-1]).mean())

    for film in range(2):
        assert 2 * asymmetry("Symmetrical", film) < min(asymmetry("Left heavy", film), asymmetry("Balanced", film))


def test_two_stills_of_one_term_differ_in_image_and_camera() -> None:
    for dimension in (vocabulary.SHOT_SIZE, vocabulary.LIGHTING_TYPE, vocabulary.COMPOSITION):
        for term in still_terms(dimension)[:3]:
            one, other = still(dimension, term.name, 0), still(dimension, term.name, 1)
            assert one.cameras != other.cameras and one.film_id != other.film_id
            assert np.abs(one.frames[0].rgb.astype(int) - other.frames[0].rgb).mean() > 8
