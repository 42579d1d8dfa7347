"""The studio's renderer: reproducible bytes, camera projection, and ground truth that matches the image."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

pytestmark = pytest.mark.slow  # renders

from data_pipeline.studio.camera import Camera, distance_for, looking_at
from data_pipeline.studio.film_style import film_style
from data_pipeline.studio.frame_truth import exact_flow
from data_pipeline.studio.kernel import sources_digest
from data_pipeline.studio.render import SET, SKY, Frame, render
from data_pipeline.studio.solids import Assembly, Material
from data_pipeline.studio.stage import Stage
from data_pipeline.studio.stills import STILL_RECIPES, staged_still, still_terms
from data_pipeline.studio.take import new_take
from lmms_eval_shotbench import vocabulary
from lmms_eval_shotbench.vocabulary import DIMENSIONS
from tests.support import REPOSITORY

SMALL = (160, 90)
SAMPLE_TERMS = [
    (vocabulary.SHOT_SIZE, "Close Up"),
    (vocabulary.LENS_SIZE, "Ultra Wide"),
    (vocabulary.LIGHTING_TYPE, "Practical light"),
]
IN_CHILD = "from tests.studio import test_studio as t; print(t.checksums(0))"


def checksums(seed: int) -> list[str]:
    shots = [staged_still(film_style(seed, 3), dimension, dimension.term(name)) for dimension, name in SAMPLE_TERMS]
    return [hashlib.sha256(shot.frames[0].rgb.tobytes()).hexdigest() for shot in shots]


def sample_stage() -> Stage:
    """Return a stage with two people on a sunny street."""
    take = new_take(film_style(5, 1), 1)
    return take.stage([take.figure(0, -0.5), take.figure(1, 0.6, 1.2)], "street")


def test_bytes_depend_on_the_seed_and_not_on_the_process() -> None:
    child = subprocess.run([sys.executable, "-c", IN_CHILD], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    here = checksums(0)
    assert ast.literal_eval(child.stdout) == here == checksums(0)
    assert not set(here) & set(checksums(1))


def test_every_recipe_stages_a_term_of_its_dimension() -> None:
    for dimension, recipes in STILL_RECIPES.items():
        assert set(recipes) <= {term.name for term in dimension.terms}
        assert len(still_terms(dimension)) == len(recipes) >= 4
    assert still_terms(DIMENSIONS[-1]) == ()


def test_a_change_in_any_compiled_source_changes_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    before, read = sources_digest(), Path.read_bytes
    sources_digest.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: read(path) + b"#" * (path.name == "textures.py"))
        assert sources_digest() != before
    sources_digest.cache_clear()
    assert sources_digest() == before


@pytest.mark.parametrize(
    "camera",
    [
        looking_at((0.4, -4, 1.5), (0, 0, 1.2), 35, roll=20),
        looking_at((3, -4, 0.3), (0, 0, 1.2), 20),
        Camera((0, -1, 1.4), yaw=12, pitch=-8, focal_length=12, fisheye=True),
    ],
)
def test_projecting_a_point_on_a_ray_gives_its_pixel(camera: Camera) -> None:
    points = np.array(camera.eye) + camera.rays(SMALL) * 7.5
    seen = camera.project(points, SMALL)
    columns, rows = np.meshgrid(np.arange(SMALL[0]) + 0.5, np.arange(SMALL[1]) + 0.5)
    assert np.allclose(seen[..., 0], columns) and np.allclose(seen[..., 1], rows)


@pytest.mark.parametrize("fisheye", [False, True])
def test_a_ball_is_rendered_where_the_camera_projects_it(fisheye: bool) -> None:
    ball = Assembly()
    ball.ellipsoid((0.8, 2.0, 2.2), 0.12, Material((1, 1, 1), glow=5.0))
    camera = looking_at((0.2, -3, 1.2), (0, 0, 1.4), 14 if fisheye else 24, roll=15, fisheye=fisheye)
    empty = replace(sample_stage(), figures=())
    with_ball, without = (render(replace(empty, props=props), camera, SMALL) for props in ((ball,), ()))
    rows, columns = np.nonzero(with_ball.depth != without.depth)
    x, y, _ = camera.project((0.8, 2.0, 2.2), SMALL)
    assert abs(columns.mean() + 0.5 - x) < 0.5 and abs(rows.mean() + 0.5 - y) < 0.5


def test_a_roll_turns_the_image_the_other_way() -> None:
    level, rolled = (looking_at((0, -4, 1.5), (0, 0, 1.5), roll=roll) for roll in (0, 30))
    above = (0.0, 0.0, 2.0)
    assert rolled.project(above, SMALL)[0] < level.project(above, SMALL)[0]


def test_ids_depth_and_sky_agree_with_the_stage() -> None:
    frame = render(sample_stage(), looking_at((0, -5, 1.5), (0, 0, 1.4), 30), SMALL)
    assert set(np.unique(frame.ids)) == {SKY, SET, 1, 2}
    assert np.array_equal(frame.ids == SKY, np.isinf(frame.depth))
    first, second = (float(np.median(frame.depth[frame.figure_mask(number)])) for number in (1, 2))
    assert first == pytest.approx(4.9, abs=0.25) and second == pytest.approx(6.1, abs=0.25)


def flow_targets(frame: Frame, flow: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the target of each pixel, (height, width, 3): column, row, and whether it is inside the frame."""
    rows, columns = np.indices(frame.ids.shape)
    target = np.rint(np.nan_to_num(np.stack([columns, rows], -1) + flow, nan=-1, posinf=-1, neginf=-1)).astype(int)
    inside = (target >= 0).all(-1) & (target[..., 0] < frame.size[0]) & (target[..., 1] < frame.size[1])
    return np.concatenate([target, inside[..., None]], -1)


def test_exact_flow_leads_to_the_same_point_in_the_next_frame() -> None:
    stage = sample_stage()
    first, second = looking_at((0, -5, 1.5), (0, 0, 1.4), 30), looking_at((0.35, -4.6, 1.6), (0.1, 0, 1.4), 31, roll=3)
    before, after = render(stage, first, SMALL), render(stage, second, SMALL)
    target = flow_targets(before, exact_flow(before, first, second))
    inside = target[..., 2] == 1
    rows, columns = target[..., 1][inside], target[..., 0][inside]
    unmoved = (np.abs(before.rgb.astype(int) - after.rgb).mean(-1)[inside]).mean()
    followed = np.abs(before.rgb[inside].astype(int) - after.rgb[rows, columns]).mean()
    assert followed < 0.5 * unmoved
    assert (before.ids[inside] == after.ids[rows, columns]).mean() > 0.95


def test_defocus_blurs_the_image_and_not_the_ground_truth() -> None:
    stage = sample_stage()
    sharp = looking_at((-0.5, -2.2, 1.5), (-0.5, 0, 1.4), 85)
    shallow = replace(sharp, focus=2.2, f_number=1.4)
    clear, soft = render(stage, sharp, SMALL), render(stage, shallow, SMALL)
    background = clear.ids == SET
    detail = [
        np.abs(np.diff(frame.rgb.astype(float), axis=1)).mean(-1)[background[:, 1:]].mean() for frame in (clear, soft)
    ]
    assert detail[1] < 0.7 * detail[0]
    assert np.array_equal(clear.ids, soft.ids)


def test_the_frame_has_the_requested_height_at_the_subject() -> None:
    for focal in (18, 50, 135):
        camera = looking_at((0, -distance_for(2.0, focal), 1.0), (0, 0, 1.0), focal)
        seen = camera.project([(0, 0, 0), (0, 0, 2.0)], SMALL)
        assert seen[:, 1] == pytest.approx([SMALL[1], 0])
