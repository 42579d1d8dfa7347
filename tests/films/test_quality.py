"""Quality checks (brightness, sharpness, size, length, motion) and detection of black bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
from PIL import Image, ImageFilter

from data_pipeline.defects import Defect, DefectKind
from data_pipeline.films.cut_films import cut_films
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.letterbox import Crop, choose_crop, merge_outlines, outline
from data_pipeline.films.quality import ClipMeasure, brightness, check_still, sharpness, thumbnail, thumbnail_distance
from data_pipeline.workers import Workers
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT
from tests.support.made_films import MadeFilm, MadeShot

SETTINGS = CutSettings()
PUSH, STATIC = CAMERA_MOVEMENT.parse("push in"), CAMERA_MOVEMENT.parse("static")


def pictures(shot: MadeShot, size: tuple[int, int] = (256, 144)) -> list[numpy.ndarray]:
    return list(MadeFilm(shots=(shot,), size=size).pictures())


@pytest.mark.parametrize(
    ("shot", "kind"),
    [
        (MadeShot(1, 1), None),
        (MadeShot(1, 1, light=0.2), None),
        (MadeShot(1, 1, light=0.1), DefectKind.TOO_DARK),
    ],
)
def test_a_still_is_too_dark_if_even_its_highlights_are(shot: MadeShot, kind: DefectKind | None) -> None:
    flaw = check_still(Image.fromarray(pictures(shot)[0]), SETTINGS)
    assert (flaw and flaw.kind) == kind


def test_a_low_key_still_with_one_lit_face_is_kept() -> None:
    picture = numpy.zeros((144, 256, 3), numpy.uint8)
    picture[40:70, 100:130] = numpy.random.default_rng(1).integers(90, 160, (30, 30, 3))
    assert check_still(Image.fromarray(picture), SETTINGS) is None


def test_a_blurred_still_is_dropped_with_its_sharpness() -> None:
    soft = Image.fromarray(pictures(MadeShot(1, 1))[0]).filter(ImageFilter.GaussianBlur(8))
    flaw = check_still(soft, SETTINGS)
    assert flaw is not None
    assert flaw.kind is DefectKind.TOO_BLURRED
    assert f"{sharpness(numpy.asarray(soft.convert('L'))):.2f}" in flaw.detail


def test_a_small_still_is_dropped() -> None:
    flaw = check_still(Image.fromarray(pictures(MadeShot(1, 1))[0]).resize((200, 143)), SETTINGS)
    assert flaw == (DefectKind.TOO_SMALL, "200 x 143 pixels, the shorter side must have 144")


def clip_flaw(frames: Sequence[numpy.ndarray], movement: Any, settings: CutSettings = SETTINGS) -> DefectKind | None:
    measure = ClipMeasure()
    for picture in frames:
        frame = av.VideoFrame.from_ndarray(numpy.ascontiguousarray(picture), format="rgb24").reformat(format="yuv420p")
        measure.add_frame(frame, settings)
    flaw = measure.judge(movement, settings)
    return flaw.kind if flaw else None


def test_a_clip_labelled_with_a_movement_must_move_and_a_static_one_need_not() -> None:
    moving, still = pictures(MadeShot(24, 1)), pictures(MadeShot(1, 1)) * 24
    assert clip_flaw(moving, PUSH) is None
    assert clip_flaw(still, PUSH) is DefectKind.NEARLY_STATIC
    assert clip_flaw(still, STATIC) is None


def test_a_clip_with_mostly_repeated_frames_is_frozen_but_one_on_threes_is_not() -> None:
    moving = pictures(MadeShot(48, 1))
    assert clip_flaw([moving[number // 3 * 3] for number in range(48)], PUSH) is None
    assert clip_flaw([moving[number // 12 * 12] for number in range(48)], PUSH) is DefectKind.NEARLY_STATIC


def test_a_dark_clip_is_judged_by_its_brightest_frame() -> None:
    dark, light = pictures(MadeShot(24, 1, light=0.1)), pictures(MadeShot(24, 1))
    assert clip_flaw(dark, PUSH) is DefectKind.TOO_DARK
    assert clip_flaw(dark + light, PUSH) is None
    assert brightness(light[0].mean(axis=2)) > 200


def test_the_distance_of_stills_ignores_compression_and_separates_dark_pictures() -> None:
    one, other = (pictures(MadeShot(1, seed, light=0.3))[0] for seed in (1, 2))
    noise = numpy.random.default_rng(1).normal(0, 1.5, one.shape)
    again = (one + noise).clip(0, 255).astype("uint8")
    one_small, again_small, other_small = (thumbnail(Image.fromarray(picture)) for picture in (one, again, other))
    assert thumbnail_distance(one_small, again_small) < SETTINGS.same_still_distance
    assert thumbnail_distance(one_small, other_small) > SETTINGS.same_still_distance * 3


def bordered(top: int, bottom: int, left: int = 0, right: int = 0) -> numpy.ndarray:
    picture = numpy.random.default_rng(1).integers(40, 220, (200, 300), dtype=numpy.uint8)
    picture[:top] = picture[200 - bottom :] = picture[:, :left] = picture[:, 300 - right :] = 3
    return picture


@pytest.mark.parametrize(
    ("picture", "crop"),
    [
        (bordered(20, 20), Crop(0, 20, 300, 160)),
        (bordered(21, 23), Crop(0, 22, 300, 154)),
        (bordered(0, 0, 50, 50), Crop(50, 0, 200, 200)),
        (bordered(20, 20, 50, 50), Crop(50, 20, 200, 160)),
        (bordered(0, 0), None),
        (bordered(40, 0), None),  # a night sky
        (bordered(90, 90), None),  # a narrow strip of light
    ],
)
def test_bars_are_black_and_symmetric(picture: numpy.ndarray, crop: Crop | None) -> None:
    assert outline(picture).picture() == crop


def test_an_edge_that_is_mostly_dark_is_not_the_edge_of_a_bar() -> None:
    scene = bordered(20, 20)
    scene[20:60, 60:] = scene[140:180, 60:] = 5
    assert outline(scene).picture() is None


def test_a_shot_is_cropped_like_its_film_unless_its_own_frames_contradict() -> None:
    scope, flat, night = outline(bordered(20, 20)), outline(bordered(0, 0)), outline(bordered(70, 70) // 9)
    film = merge_outlines([scope, scope, night])
    full, cropped = Crop.full_frame(300, 200), Crop(0, 20, 300, 160)
    assert choose_crop(scope, film, 300, 200) == cropped
    assert choose_crop(night, film, 300, 200) == cropped
    assert choose_crop(None, film, 300, 200) == cropped
    assert choose_crop(flat, film, 300, 200) == full
    mixed = merge_outlines([scope, flat])
    assert choose_crop(scope, mixed, 300, 200) == full  # one frame is too few to override the film
    assert choose_crop(merge_outlines([scope] * 5), mixed, 300, 200) == cropped


@pytest.mark.slow
def test_defects_of_a_film_report_the_measured_values(tmp_path: Path) -> None:
    shots = (MadeShot(48, 1, light=0.1), MadeShot(48, 2, drift=0.0, numbered=False), MadeShot(48, 3))
    MadeFilm(shots=shots).write(tmp_path / "heat.mp4")
    header = "film_id,media,start,end,shot_size,camera_movement"
    rows = ("0.1,1.9,CU,Arc", "2.1,3.9,,Arc", "4.1,5.9,CU,Arc")
    (tmp_path / "table.csv").write_text("\n".join([header, *(f"heat,heat.mp4,{row}" for row in rows)]))
    defects: list[Defect] = []
    (tmp_path / "work").mkdir()
    cut = list(cut_films(tmp_path / "table.csv", tmp_path, tmp_path / "work", SETTINGS, Workers(), defects))
    assert [shot.shot_id for shot in cut] == ["heat-00004100-clip", "heat-00004100-still"]
    kinds = [(defect.line, defect.kind) for defect in defects]
    assert kinds == [(2, DefectKind.TOO_DARK)] * 2 + [(3, DefectKind.NEARLY_STATIC)]
    assert "of 255" in defects[0].detail
