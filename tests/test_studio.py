"""The studio paints what its labels say: the truth is measured in the pictures, not read off the labels."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from typing import TypeAlias

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from data_pipeline.studio import PaintedShot, painted_shots
from data_pipeline.studio.figures import figure_height, figure_outline
from data_pipeline.studio.moves import FRAMES
from data_pipeline.studio.paint import picture
from data_pipeline.studio.shots import CLIP_SIZE, STILL_SIZE, encode_clip, painted_shot
from data_pipeline.studio.staging import RECIPES, staged, staged_terms
from lmms_eval_shotbench import vocabulary
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, MediaKind
from tests.conftest import REPOSITORY

Tones: TypeAlias = npt.NDArray[np.float64]
SIZES = [term.name for term in staged_terms(vocabulary.SHOT_SIZE)]
STILL_DIMENSIONS = [dimension for dimension in DIMENSIONS if dimension.media_kind is MediaKind.STILL]


@cache
def painted(dimension: Dimension, name: str, seed: int = 0) -> PaintedShot:
    return painted_shot(dimension, dimension.term(name), seed)


def checksum(shot: PaintedShot) -> str:
    return hashlib.sha256(shot.media).hexdigest()


def colours(dimension: Dimension, name: str) -> Tones:
    return np.asarray(Image.open(io.BytesIO(painted(dimension, name).media)), dtype=np.float64)


def frames_of(media: bytes) -> list[Tones]:
    frames = av.open(io.BytesIO(media), "r").decode(video=0)
    return [frame.to_ndarray(format="gray").astype(np.float64) for frame in frames]


@cache
def clip(name: str) -> list[Tones]:
    return frames_of(painted(vocabulary.CAMERA_MOVEMENT, name).media)


def shift(before: Tones, after: Tones) -> tuple[float, float]:
    """By how many pixels the picture moved down and to the right: the peak of the phase correlation."""
    window = np.hanning(before.shape[0])[:, None] * np.hanning(before.shape[1])[None, :]
    one, two = (np.fft.fft2((tones - tones.mean()) * window) for tones in (before, after))
    cross = two * one.conj()
    peak = np.fft.ifft2(cross / (np.abs(cross) + 1e-9)).real
    row, column = np.unravel_index(peak.argmax(), peak.shape)
    rows, columns = peak.shape
    return float((row + rows // 2) % rows - rows // 2), float((column + columns // 2) % columns - columns // 2)


def some_frames(name: str, frames: slice) -> list[Tones]:
    shot = staged(vocabulary.CAMERA_MOVEMENT, vocabulary.CAMERA_MOVEMENT.term(name))
    return frames_of(encode_clip(replace(shot, cameras=shot.cameras[frames])))


def picture_shift(name: str) -> tuple[float, float]:
    """By how much the picture moves in the middle of a clip, in two frames' time."""
    before, _, after = some_frames(name, slice(FRAMES // 2 - 1, FRAMES // 2 + 2))
    return shift(before, after)


def growth(name: str, x: float, y: float) -> float:
    """How many times larger a metre on the stage is in the last frame than in the first."""
    shot = staged(vocabulary.CAMERA_MOVEMENT, vocabulary.CAMERA_MOVEMENT.term(name))
    metre = np.array([[x, y, 0.5], [x, y, 1.5]])
    heights = [float(np.ptp(camera.project(metre, CLIP_SIZE)[:, 1])) for camera in (shot.cameras[0], shot.cameras[-1])]
    return heights[1] / heights[0]


def sideways(name: str, y: float) -> float:
    """How many pixels a point so far up the stage moves to the right between two frames in the middle of a clip."""
    shot = staged(vocabulary.CAMERA_MOVEMENT, vocabulary.CAMERA_MOVEMENT.term(name))
    spot = np.array([0.0, y, 1.4])
    before, after = (shot.cameras[FRAMES // 2 + step].project(spot, CLIP_SIZE)[0] for step in (-1, 1))
    return float(after - before)


def weight_centre(name: str, variant: int) -> float:
    """Where, from 0 at the left to 1 at the right of the frame, the figures stand."""
    shot = staged(vocabulary.COMPOSITION, vocabulary.COMPOSITION.term(name), variant=variant)
    columns = [figure_outline(shot.cameras[0], figure, STILL_SIZE)[:, 0].mean() for figure in shot.stage.figures]
    return float(np.mean(columns)) / STILL_SIZE[0]


HANDFUL = [
    (vocabulary.SHOT_SIZE, "Close Up"),
    (vocabulary.LIGHTING_CONDITION, "Soft light"),
    (vocabulary.COMPOSITION, "Symmetrical"),
    (vocabulary.CAMERA_MOVEMENT, "Tilt down"),
]
IN_CHILD = "from tests import test_studio as t; print([t.checksum(t.painted(*term)) for term in t.HANDFUL])"


def test_the_same_seed_paints_the_same_bytes_in_any_process_and_whatever_was_painted_before() -> None:
    """The child paints "Tilt down" alone, in memory full of rubbish; here it shares the frames of "Tilt up"."""
    environment = os.environ | {"MALLOC_PERTURB_": "165", "PYTHONHASHSEED": "7"}
    child = subprocess.run(
        [sys.executable, "-c", IN_CHILD], cwd=REPOSITORY, env=environment, check=True, capture_output=True, text=True
    )
    painted(vocabulary.CAMERA_MOVEMENT, "Tilt up")
    first = [checksum(painted(*term)) for term in HANDFUL]
    assert ast.literal_eval(child.stdout) == first
    assert [checksum(painted.__wrapped__(*term)) for term in HANDFUL] == first


def test_another_seed_paints_other_shots() -> None:
    stills = HANDFUL[:3]
    assert len({checksum(painted(*term, seed=seed)) for term in stills for seed in (0, 1)}) == 2 * len(stills)


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=lambda dimension: dimension.slug)
def test_every_staged_term_is_a_term_of_its_dimension(dimension: Dimension) -> None:
    names = {term.name for term in dimension.terms}
    assert set(RECIPES[dimension]) <= names
    assert len(RECIPES[dimension]) >= 4


def test_shots_are_named_once_and_share_a_film_when_they_share_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    for encode in ("encode_still", "encode_clip"):
        monkeypatch.setattr(f"data_pipeline.studio.shots.{encode}", lambda shot: b"")
    shots = list(painted_shots(per_term=2))
    assert len(shots) == 2 * sum(map(len, RECIPES.values()))
    assert len({shot.file_name for shot in shots}) == len(shots)
    films = {(shot.dimension, shot.file_name[-5], shot.film_id) for shot in shots}
    assert len(films) == 2 * len(DIMENSIONS) == len({film for _, _, film in films})


def test_every_still_opens() -> None:
    for dimension in STILL_DIMENSIONS:
        for term in staged_terms(dimension):
            shot = painted(dimension, term.name)
            assert shot.media_kind is MediaKind.STILL
            assert Image.open(io.BytesIO(shot.media)).size == STILL_SIZE, shot.file_name


def test_every_clip_plays() -> None:
    assert len(clip("Tilt up")) == FRAMES
    for term in staged_terms(vocabulary.CAMERA_MOVEMENT):
        assert len(staged(vocabulary.CAMERA_MOVEMENT, term).cameras) == FRAMES
        first_and_last = some_frames(term.name, slice(None, None, FRAMES - 1))
        assert [frame.shape for frame in first_and_last] == 2 * [CLIP_SIZE[::-1]], term.name


@pytest.mark.parametrize("variant", [0, 1])
def test_the_figure_shrinks_from_extreme_close_up_to_extreme_wide(variant: int) -> None:
    heights = []
    for name in SIZES:
        shot = staged(vocabulary.SHOT_SIZE, vocabulary.SHOT_SIZE.term(name), variant=variant)
        heights.append(figure_height(shot.cameras[0], shot.stage.figures[0], STILL_SIZE))
    assert heights == sorted(heights, reverse=True)
    assert heights[0] > 10 and heights[-1] < 0.1


def test_a_closer_size_shows_more_of_the_figure_in_the_picture() -> None:
    shares = []
    for name in SIZES[1:]:
        shot = staged(vocabulary.SHOT_SIZE, vocabulary.SHOT_SIZE.term(name))
        empty = type(shot.stage)(shot.stage.scenery, shot.stage.light)
        with_figure, without = (np.asarray(picture(stage, shot.cameras[0], (160, 90))) for stage in (shot.stage, empty))
        shares.append(float((np.abs(with_figure.astype(int) - without).max(axis=-1) > 25).mean()))
    assert shares[-1] < shares[-2] < shares[-3] < min(shares[:-3])


def test_the_figure_counts_are_those_of_the_framing() -> None:
    counts = {"Single": 1, "2 shot": 2, "3 shot": 3, "Insert": 0, "Over the shoulder": 2}
    for name, count in counts.items():
        shot = staged(vocabulary.SHOT_FRAMING, vocabulary.SHOT_FRAMING.term(name))
        assert len(shot.stage.figures) == count, name


def test_a_static_clip_never_changes() -> None:
    tones = clip("Static shot")
    assert max(np.abs(frame - tones[0]).mean() for frame in tones) < 1.0


def test_a_pan_moves_the_picture_the_other_way() -> None:
    assert picture_shift("Pan right")[1] < -4
    assert picture_shift("Pan left")[1] > 4


def test_a_tilt_moves_the_picture_the_other_way() -> None:
    assert picture_shift("Tilt up")[0] > 3
    assert picture_shift("Tilt down")[0] < -3


def test_a_travelling_camera_moves_the_near_more_than_the_far_and_a_pan_hardly_does() -> None:
    assert sideways("Move to the left", 0.0) > 2.5 * sideways("Move to the left", 15.0) > 0
    assert sideways("Move to the right", 0.0) < 2.5 * sideways("Move to the right", 15.0) < 0
    assert sideways("Pan left", 0.0) == pytest.approx(sideways("Pan left", 15.0), rel=0.05)


def test_a_boom_moves_the_camera_and_keeps_its_pitch() -> None:
    for name, way in (("Boom up", 1), ("Boom down", -1)):
        cameras = staged(vocabulary.CAMERA_MOVEMENT, vocabulary.CAMERA_MOVEMENT.term(name)).cameras
        assert len({camera.pitch for camera in cameras}) == 1
        assert (cameras[-1].position[2] - cameras[0].position[2]) * way > 1.5
        assert picture_shift(name)[0] * way > 0


def test_a_zoom_magnifies_the_background_more_than_a_push_in_does() -> None:
    subject, background = (0.0, 0.0), (0.0, 15.0)
    assert growth("Zoom in", *subject) == pytest.approx(growth("Push in", *subject), rel=0.05)
    assert growth("Push in", *subject) > 2.5
    assert growth("Zoom in", *background) > 2 * growth("Push in", *background)
    assert growth("Pull out", *subject) < 0.4 > growth("Zoom out", *subject)


def test_a_dolly_zoom_keeps_the_subject_and_changes_the_background() -> None:
    assert growth("Dolly zoom", 0.0, 0.0) == pytest.approx(1.0, rel=0.05)
    assert abs(np.log(growth("Dolly zoom", 0.0, 15.0))) > np.log(1.8)


@pytest.mark.parametrize("variant", [0, 1])
def test_the_weight_lies_where_the_composition_says(variant: int) -> None:
    assert weight_centre("Left heavy", variant) < 0.33
    assert weight_centre("Right heavy", variant) > 0.67
    assert weight_centre("Center", variant) == pytest.approx(0.5, abs=0.03)
    assert weight_centre("Balanced", variant) == pytest.approx(0.5, abs=0.06)


def test_a_symmetrical_picture_is_nearly_its_own_mirror_image() -> None:
    def unlikeness(name: str) -> float:
        tones = colours(vocabulary.COMPOSITION, name).mean(axis=-1)
        return float(np.abs(tones - tones[:, ::-1]).mean())

    assert 3 * unlikeness("Symmetrical") < min(unlikeness("Center"), unlikeness("Balanced"), unlikeness("Left heavy"))


def test_side_light_is_on_one_side_of_the_figure() -> None:
    for variant, way in ((0, 1), (1, -1)):
        term = vocabulary.LIGHTING_CONDITION.term("Side light")
        shot = staged(vocabulary.LIGHTING_CONDITION, term, variant=variant)
        outline = figure_outline(shot.cameras[0], shot.stage.figures[0], STILL_SIZE)
        middle = round(float(outline[:, 0].mean()))
        tones = np.asarray(picture(shot.stage, shot.cameras[0], STILL_SIZE).convert("L"), dtype=np.float64)
        left, right = tones[:, middle - 100 : middle].mean(), tones[:, middle : middle + 100].mean()
        assert (left - right) * way > 20


def test_light_names_show_in_colour_and_contrast() -> None:
    def red_over_blue(name: str) -> float:
        red, _, blue = colours(vocabulary.LIGHTING_TYPE, name).mean(axis=(0, 1))
        return float(red / blue)

    assert red_over_blue("Moonlight") < 1 / 1.3
    assert red_over_blue("Tungsten") > 1.5
    assert red_over_blue("Firelight") > 1.5
    high, low = (colours(vocabulary.LIGHTING_CONDITION, name) for name in ("High contrast", "Low contrast"))
    assert high.std() > 2 * low.std()
    overcast, sunny = (colours(vocabulary.LIGHTING_TYPE, name) for name in ("Overcast", "Sunny"))
    assert np.ptp(overcast) < np.ptp(sunny)
