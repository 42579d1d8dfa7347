"""Clips show the movement they are labelled with, as recovered from their decoded frames alone."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
pytest.importorskip("numba")
cv2 = pytest.importorskip("cv2")

from data_pipeline.studio.clips import FRAME_RATE
from data_pipeline.studio.films import FilmedShot, film_plan, film_shot
from data_pipeline.studio.frame_truth import flow_of
from data_pipeline.studio.moves import TERMS
from data_pipeline.studio.rig import eased
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.questions.variants import opposite
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, MediaKind, View
from tests.support.camera_recovery import Picture, flow_between, grey_frames, recovered

FILMS = 3  # in addition to that of the embedded dataset; each term is rendered in one of them
WIDTH = 160
SINGLES = [term.name for term in CAMERA_MOVEMENT.terms if term.name in TERMS and not term.name.startswith("Rack")]


def steps_of(label: str) -> list[frozenset[str]]:
    return [frozenset(term.name for term in step) for step in CAMERA_MOVEMENT.parse(label).steps]


def recovered_steps(frames: list[Picture], steps: int) -> list[frozenset[str]]:
    """Recover the terms of each of `steps` equal parts of a clip."""
    ends = [len(frames) * number // steps for number in range(steps + 1)]
    return [recovered(frames[first:last]) for first, last in pairwise(ends)]


def without_focus(steps: list[frozenset[str]]) -> list[frozenset[str]]:
    """Return the steps as visible in optical flow, which does not show changes of focus."""
    return [frozenset("Static shot" if name.startswith("Rack") else name for name in step) for step in steps]


@cache
def filmed(film: int, label: str) -> FilmedShot:
    (plan,) = (plan for plan in film_plan(0, film, width=WIDTH) if plan.label == label)
    return film_shot(plan)


@cache
def clip_of(label: str) -> list[Picture]:
    film = 1 + SINGLES.index(label) % FILMS
    return grey_frames(filmed(film, label).encoded())


def compounds(film: int) -> list[str]:
    plans = [plan for plan in film_plan(0, film, width=WIDTH) if plan.media_kind is MediaKind.CLIP]
    return [plan.label for plan in plans if CAMERA_MOVEMENT.parse(plan.label).is_compound]


def test_every_clip_of_the_embedded_dataset_shows_its_answer(studio_shards: Path) -> None:
    shards = ShardFolder(studio_shards)
    clips = [item for item in shards.items() if item.media_kind is MediaKind.CLIP]
    results = {}
    for item in clips:
        steps = steps_of(item.gold)
        seen = recovered_steps(grey_frames(shards.media(item.item_id)), len(steps))
        results[item.gold] = seen == without_focus(steps) or str(seen)
    assert len(clips) >= len(SINGLES)
    assert set(results.values()) == {True}, results


@pytest.mark.parametrize("label", SINGLES)
def test_a_movement_is_recovered_from_the_frames(label: str) -> None:
    assert recovered(clip_of(label)) == {label}


@pytest.mark.parametrize("film", [1, 2])
def test_simultaneous_and_sequential_movements_are_recovered(film: int) -> None:
    for label in compounds(film):
        steps = steps_of(label)
        assert recovered_steps(grey_frames(filmed(film, label).encoded()), len(steps)) == steps, label


@pytest.mark.parametrize("label", SINGLES)
def test_a_mirrored_clip_shows_the_mirrored_movement(label: str) -> None:
    mirrored = [np.ascontiguousarray(frame[:, ::-1]) for frame in clip_of(label)]
    assert recovered(mirrored) == {opposite(label, View.MIRRORED)}


@pytest.mark.parametrize("label", SINGLES)
def test_a_reversed_clip_shows_the_reversed_movement(label: str) -> None:
    assert recovered(clip_of(label)[::-1]) == {opposite(label, View.REVERSED)}


def sharpness(frame: Picture, mask: np.ndarray) -> float:
    return float(np.abs(cv2.Laplacian(frame, cv2.CV_64F))[mask].mean())


@pytest.mark.parametrize(("label", "gains"), [("Rack focus to foreground", 2), ("Rack focus to background", 1)])
def test_a_rack_focus_sharpens_one_figure_and_blurs_the_other(label: str, gains: int) -> None:
    """The first figure is in the background, the second in the foreground."""
    shot = filmed(1, label)
    for number in (1, 2):
        ends = [
            sharpness(cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY), frame.figure_mask(number))
            for frame in (shot.frames[0], shot.frames[-1])
        ]
        assert (ends[1] > 1.2 * ends[0]) if number == gains else (ends[0] > 1.2 * ends[1])
    depths = [np.median(shot.frames[0].depth[shot.frames[0].figure_mask(number)]) for number in (1, 2)]
    assert depths[0] > 2 * depths[1]


def test_somebody_moves_in_front_of_a_static_camera() -> None:
    shot = filmed(1, "Static shot")
    assert len({(camera.eye, camera.yaw, camera.pitch, camera.focal_length) for camera in shot.cameras}) == 1
    assert shot.clip is not None and any(person.pace for person in shot.clip.people)
    assert any((one.ids != other.ids).any() for one, other in pairwise(shot.frames))


@pytest.mark.parametrize("label", ["Move to the left", "Tilt up", "Zoom in"])
def test_the_exact_flow_matches_the_decoded_frames(label: str) -> None:
    shot = filmed(1 + SINGLES.index(label) % FILMS, label)
    middle, scale = len(shot.frames) // 2, 320 / WIDTH
    tracked = flow_between(*clip_of(label)[middle : middle + 2])
    corners = (tracked.corners + np.array([160, 90])) / scale
    columns, rows = corners.round().astype(int).clip(0, (WIDTH - 1, WIDTH * 9 // 16 - 1)).T
    exact = flow_of(shot)[middle][rows, columns] * scale
    off = np.hypot(*(exact - tracked.flow).T)
    assert np.nanmedian(np.hypot(*exact.T)) > 1.5
    assert np.nanmedian(off) < 0.6


def test_camera_movements_ease_in_and_out_monotonically() -> None:
    shares = [eased(number / 50) for number in range(51)]
    speeds = np.diff(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert speeds.min() > 0 and max(speeds[0], speeds[-1]) < 0.5 * speeds.max() < 1.0 / FRAME_RATE


def test_clips_of_a_term_differ_from_film_to_film() -> None:
    cameras = {filmed(film, "Static shot").cameras[0] for film in (1, 2)}
    plans = {plan.shot_id for film in range(3) for plan in film_plan(0, film)}
    assert len(cameras) == 2
    assert len(plans) == sum(len(film_plan(0, film)) for film in range(3))
    assert all(re.fullmatch(r"[a-z0-9._-]+", name) for name in plans)
