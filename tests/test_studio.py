"""The studio paints what its labels say: the truth is measured in the pictures, not read off the labels."""

from __future__ import annotations

import io
from functools import lru_cache
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
from data_pipeline.studio.shots import CLIP_SIZE, STILL_SIZE
from data_pipeline.studio.staging import RECIPES, staged, staged_terms
from lmms_eval_shotbench import vocabulary
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, MediaKind

Tones: TypeAlias = npt.NDArray[np.float64]
SIZES = [term.name for term in staged_terms(vocabulary.SHOT_SIZE)]


@lru_cache(maxsize=1)
def shots() -> tuple[PaintedShot, ...]:
    return tuple(painted_shots(seed=0, per_term=1))


def frames_of(media: bytes) -> list[Tones]:
    frames = av.open(io.BytesIO(media), "r").decode(video=0)
    return [frame.to_ndarray(format="gray").astype(np.float64) for frame in frames]


@lru_cache(maxsize=32)
def clip(name: str) -> list[Tones]:
    return frames_of(next(shot.media for shot in shots() if shot.term == name and shot.media_kind is MediaKind.CLIP))


def shift(before: Tones, after: Tones) -> tuple[float, float]:
    """By how many pixels the picture moved down and to the right: the peak of the phase correlation."""
    window = np.hanning(before.shape[0])[:, None] * np.hanning(before.shape[1])[None, :]
    one, two = (np.fft.fft2((tones - tones.mean()) * window) for tones in (before, after))
    cross = two * one.conj()
    peak = np.fft.ifft2(cross / (np.abs(cross) + 1e-9)).real
    row, column = np.unravel_index(peak.argmax(), peak.shape)
    rows, columns = peak.shape
    return float((row + rows // 2) % rows - rows // 2), float((column + columns // 2) % columns - columns // 2)


def picture_shift(name: str) -> tuple[float, float]:
    tones = clip(name)
    return shift(tones[FRAMES // 2 - 1], tones[FRAMES // 2 + 1])


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


def test_the_same_seed_paints_the_same_bytes() -> None:
    def some(seed: int) -> list[bytes]:
        return [shot.media for shot, _ in zip(painted_shots(seed, per_term=1), range(8), strict=False)]

    assert some(0) == some(0)
    assert not set(some(0)) & set(some(1))


def test_the_same_frames_give_the_same_clip() -> None:
    from data_pipeline.studio.shots import _painted

    term = vocabulary.CAMERA_MOVEMENT.term("Pull out")
    again = _painted(vocabulary.CAMERA_MOVEMENT, term, 0, 0)
    assert again.media == next(shot.media for shot in shots() if shot.file_name == again.file_name)


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=lambda dimension: dimension.slug)
def test_every_staged_term_is_a_term_of_its_dimension(dimension: Dimension) -> None:
    names = {term.name for term in dimension.terms}
    assert set(RECIPES[dimension]) <= names
    assert len(RECIPES[dimension]) >= 4


def test_shots_are_named_once_and_share_a_film_when_they_share_a_stage() -> None:
    assert len({shot.file_name for shot in shots()}) == len(shots())
    films = {(shot.dimension, shot.film_id) for shot in shots()}
    assert len(films) == len(DIMENSIONS) == len({film for _, film in films})


def test_every_still_opens_and_every_clip_plays() -> None:
    for shot in shots():
        if shot.media_kind is MediaKind.STILL:
            assert Image.open(io.BytesIO(shot.media)).size == STILL_SIZE, shot.file_name
        else:
            tones = frames_of(shot.media)
            assert len(tones) == FRAMES and tones[0].shape == CLIP_SIZE[::-1], shot.file_name


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
        media = next(shot.media for shot in shots() if shot.term == name)
        tones = np.asarray(Image.open(io.BytesIO(media)).convert("L"), dtype=np.float64)
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
    def colours(name: str) -> Tones:
        media = next(shot.media for shot in shots() if shot.term == name)
        return np.asarray(Image.open(io.BytesIO(media)), dtype=np.float64).reshape(-1, 3)

    assert colours("Moonlight").mean(axis=0)[2] > 1.3 * colours("Moonlight").mean(axis=0)[0]
    assert colours("Tungsten").mean(axis=0)[0] > 1.5 * colours("Tungsten").mean(axis=0)[2]
    assert colours("Firelight").mean(axis=0)[0] > 1.5 * colours("Firelight").mean(axis=0)[2]
    assert colours("High contrast").std() > 2 * colours("Low contrast").std()
    assert np.ptp(colours("Overcast")) < np.ptp(colours("Sunny"))
