"""Shots of films with the truth of every dimension: how they are read, split by film, mirrored and reversed."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("av")

from lmms_eval_shotbench.labelling.truth import NOTHING, BadTruth, ShotTruth, TruthRow, TruthStatus
from lmms_eval_shotbench.qwen.inputs import MediaLimits, PatchRule
from lmms_eval_shotbench.vocabulary import (
    CAMERA_ANGLE,
    CAMERA_MOVEMENT,
    COMPOSITION,
    SHOT_SIZE,
    Dimension,
    MediaKind,
    View,
)
from tests.support.made_films import number_on
from tests.support.truth_films import FILE, FILM, STILL_FILE, write_truth_films
from verl_recipes.tiny_base.whole_shots import ShotFrames, WholeShot, read_whole_shots, split_by_film, truth_in_view

LARGE = MediaLimits(128 * 256, 160 * 256, clip_max=160 * 256)  # at this size the numbers on frames can be read
PATCHES = PatchRule(14, 2, 2, (0.0,) * 3, (1.0,) * 3)
CLOSE_UP = ShotTruth(TruthStatus.LABELLED, "Close Up")


def row_of(start: int, end: int) -> TruthRow:
    return TruthRow("film", FILE, start / 12, end / 12, f"shot-{start}", truths={SHOT_SIZE.slug: CLOSE_UP})


ROWS = [row_of(0, 36), row_of(36, 61), row_of(61, 62), TruthRow("film", STILL_FILE, truths={SHOT_SIZE.slug: CLOSE_UP})]


def numbers_on(frames: torch.Tensor) -> list[int]:
    return [number_on(frame.permute(1, 2, 0).numpy()) for frame in frames]


@pytest.mark.slow
def test_stills_and_clips_are_frames_of_their_shot_without_bars(tmp_path: Path) -> None:
    first, second, third, still = read_whole_shots(write_truth_films(tmp_path, ROWS), LARGE, PATCHES)
    assert numbers_on(first.stills) == [18, 13, 22]  # the middle frame, then others of the middle third
    assert numbers_on(second.stills) == [36 + 12, 36 + 9, 36 + 15]
    assert first.clip and numbers_on(first.clip.frames) == list(range(36)) and first.clip.fps == 12
    assert second.clip and numbers_on(second.clip.frames)[:: 24 - 1] == [36, 60] and len(second.clip.frames) == 24
    assert third.clip and numbers_on(third.clip.frames) == [61, 61]  # a pair
    assert still.clip is None and still.stills.shape[1:] == first.stills.shape[1:]
    assert {shot.truths[SHOT_SIZE.slug] for shot in (first, second, third, still)} == {CLOSE_UP}


def test_a_frame_rate_above_that_of_the_protocol_is_reduced(tmp_path: Path) -> None:
    write_truth_films(tmp_path, [TruthRow("film", FILE, 0, 1.5)], replace(FILM, rate=Fraction(24)))
    (shot,) = read_whole_shots(tmp_path, LARGE, PATCHES)
    assert shot.clip and shot.clip.frames.shape[0] == 18 and shot.clip.fps == 12


def test_a_folder_without_truth_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadTruth, match=r"no truth\.csv; render films with `shotbench data studio --raw"):
        list(read_whole_shots(tmp_path, LARGE, PATCHES))


@pytest.mark.parametrize(("start", "end"), [(3.0, 6.0), (3.0, 3.01)])
def test_a_shot_beyond_its_film_or_without_frames_is_named(tmp_path: Path, start: float, end: float) -> None:
    write_truth_films(tmp_path, [TruthRow("film", FILE, start, end, "shot-7")])
    with pytest.raises(BadTruth, match=r"shot shot-7 is frames 36 to \d+, but film\.mp4 has 62"):
        list(read_whole_shots(tmp_path, LARGE, PATCHES))


@pytest.mark.parametrize(("films", "expected"), [(1, []), (2, ["1"]), (9, ["8"]), (25, ["17", "8"])])
def test_every_tenth_film_is_held_out(films: int, expected: list[str]) -> None:
    shots = [WholeShot(f"{number:02d}", {}, torch.zeros(1)) for number in range(films) for _ in range(2)]
    others, held_out = split_by_film(shots)
    found = {shot.film_id for shot in held_out}
    assert len(found) == len(expected) and len(others) + len(held_out) == len(shots)
    assert not found & {shot.film_id for shot in others}


MIRRORED, REVERSED, BOTH = (View.MIRRORED,), (View.REVERSED,), (View.MIRRORED, View.REVERSED)


@pytest.mark.parametrize(
    ("dimension", "view", "label", "expected"),
    [
        (COMPOSITION, MIRRORED, "Left heavy", "Right heavy"),
        (COMPOSITION, MIRRORED, "Balanced, Symmetrical", "Balanced, Symmetrical"),
        (CAMERA_MOVEMENT, MIRRORED, "Pan left", "Pan right"),
        (CAMERA_MOVEMENT, MIRRORED, "Tilt up", "Tilt up"),
        (CAMERA_MOVEMENT, MIRRORED, "Tracking, Pan right", "Tracking, Pan left"),
        (CAMERA_MOVEMENT, REVERSED, "Pan left", "Pan right"),
        (CAMERA_MOVEMENT, REVERSED, "Move to the left, Zoom in", "Move to the right, Zoom out"),
        (CAMERA_MOVEMENT, REVERSED, "Firstly Push in, then Pan left", "Firstly Pan right, then Pull out"),
        (CAMERA_MOVEMENT, BOTH, "Firstly Push in, then Pan left", "Firstly Pan left, then Pull out"),
        (CAMERA_MOVEMENT, REVERSED, "Tracking, Pan right", None),
    ],
)
def test_the_truth_of_a_view_follows_from_that_of_the_shot(
    dimension: Dimension, view: tuple[View, ...], label: str, expected: str | None
) -> None:
    seen = truth_in_view(ShotTruth(TruthStatus.LABELLED, label), dimension, view)
    assert (seen and seen.label) == expected


def test_possible_terms_are_mirrored_and_none_stays_none() -> None:
    unsure = ShotTruth(TruthStatus.UNCERTAIN, possible=frozenset({"Left heavy", "Center"}))
    assert truth_in_view(unsure, COMPOSITION, MIRRORED) == replace(unsure, possible={"Right heavy", "Center"})
    perhaps_tracking = ShotTruth(TruthStatus.LABELLED, "Pan left", frozenset({"Tracking"}))
    assert truth_in_view(perhaps_tracking, CAMERA_MOVEMENT, REVERSED) is None
    for view in (MIRRORED, REVERSED, BOTH):
        assert truth_in_view(NOTHING, CAMERA_ANGLE, view) == NOTHING


def test_frames_are_mirrored_and_reversed() -> None:
    frames = torch.from_numpy(numpy.arange(2 * 3 * 2 * 4, dtype=numpy.uint8).reshape(2, 3, 2, 4))
    shown = ShotFrames(frames, 12.0)
    assert torch.equal(shown.in_view(()).frames, frames)
    assert torch.equal(shown.in_view(MIRRORED).frames, frames.flip(3))
    assert torch.equal(shown.in_view(BOTH).frames, frames.flip(3).flip(0)) and shown.in_view(BOTH).fps == 12.0


def test_in_labelling_the_key_still_and_all_frames_of_the_clip_are_shown() -> None:
    clip = ShotFrames(torch.ones(4, 3, 2, 2), 12.0)
    shot = WholeShot("film", {}, torch.arange(3.0)[:, None, None, None].expand(3, 3, 2, 2), clip)
    assert shot.key_frames(MediaKind.STILL).frames.unique().tolist() == [0.0]
    assert shot.key_frames(MediaKind.CLIP) is clip
