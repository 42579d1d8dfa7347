"""The truth of every dimension of a shot: by rules that know nothing of what the shot was staged for."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import islice

import pytest

pytestmark = pytest.mark.slow  # renders

pytest.importorskip("numba")

from data_pipeline.studio.films import FilmedShot, film_plan, film_shot, staged_clip
from data_pipeline.studio.render import render
from data_pipeline.studio.whole_truth import measured_truth, whole_truth
from data_pipeline.studio_set import StudioSettings, planned_shots, whole_shots
from lmms_eval_shotbench import vocabulary
from lmms_eval_shotbench.labelling.truth import NOTHING, UNKNOWN, ShotTruth, TruthStatus
from lmms_eval_shotbench.vocabulary import CAMERA_ANGLE, CAMERA_MOVEMENT, LENS_SIZE, MediaKind, dimension_named

SEED, WIDTH = 11, 160


@cache
def shot(label: str, film: int = 0) -> FilmedShot:
    """A shot of a film by its label; of a clip, only the frames that the truth looks at."""
    plan = next(plan for plan in film_plan(SEED, film, width=WIDTH) if plan.label == label)
    if plan.media_kind is MediaKind.STILL:
        return film_shot(plan)
    clip = staged_clip(plan)
    moments = [clip.at(number) for number in range(clip.frames)]
    first, middle, last = (clip.frames // 4, clip.frames // 2, 3 * clip.frames // 4)
    frames = {number: render(*moments[number], plan.size) for number in (first, middle, last)}
    pictures = tuple(frames.get(number, frames[middle]) for number in range(clip.frames))
    return FilmedShot(plan, {plan.slug: plan.label}, pictures, tuple(camera for _, camera in moments), clip)


def truth(label: str, slug: str, film: int = 0) -> ShotTruth:
    return whole_truth(shot(label, film))[slug]


@pytest.mark.parametrize("film", range(3))
def test_the_rules_find_every_term_that_a_still_was_staged_for(film: int) -> None:
    missed = {}
    for plan in film_plan(SEED, film, width=WIDTH):
        if plan.media_kind is MediaKind.STILL:
            dimension = dimension_named(plan.slug)
            found = measured_truth(film_shot(plan))[plan.slug]
            if not {term.name for term in dimension.parse(plan.label).terms} <= found.terms(dimension):
                missed[plan.shot_id] = found
    assert missed == {}


def test_the_rules_do_not_look_at_the_plan() -> None:
    high = shot("High angle")
    assert measured_truth(replace(high, plan=shot("Sunny").plan, labels={})) == measured_truth(high)


def test_what_was_staged_is_true_even_where_the_rules_do_not_see_it() -> None:
    level = replace(shot("Medium"), labels={"camera_angle": "Low angle"})
    assert measured_truth(level)["camera_angle"] == NOTHING
    assert whole_truth(level)["camera_angle"].label == "Low angle"


@pytest.mark.parametrize("label", ["Close Up", "Medium", "2 shot", "Tungsten", "Overcast", "Center", "Push in", "Arc"])
def test_a_level_camera_has_no_angle(label: str) -> None:
    assert truth(label, "camera_angle") == NOTHING


@pytest.mark.parametrize(
    ("label", "slug", "certain"),
    [
        ("Silhouette", "lighting_type", {"Daylight"}),
        ("Silhouette", "lighting_condition", {"Silhouette", "Backlight"}),
        ("Tungsten", "lighting_type", {"Tungsten", "Artificial light"}),
        ("Practical light", "lighting_type", {"Practical light", "Artificial light"}),
        ("Sunny", "lighting_type", {"Sunny", "Daylight"}),
        ("Overcast", "lighting_condition", {"Soft light"}),
        ("Underlight", "lighting_condition", {"Underlight", "High contrast"}),
        ("Establishing shot", "shot_size", {"Extreme Wide"}),
        ("Insert", "camera_angle", {"High angle"}),
        ("Close Up", "shot_framing", {"Single"}),
        ("Single", "lens_size", {"Medium"}),
        ("Low angle", "lens_size", {"Wide"}),
        ("Static shot", "shot_size", {"Wide"}),
    ],
)
def test_shots_have_terms_of_other_dimensions(label: str, slug: str, certain: set[str]) -> None:
    found = [truth(label, slug, film) for film in range(2)]
    assert all(one.terms(dimension_named(slug)) >= certain for one in found), found


@pytest.mark.parametrize(
    ("label", "slug", "wrong"),
    [
        ("Overcast", "lighting_type", {"Sunny", "Moonlight", "Artificial light"}),
        ("Edge light", "lighting_condition", {"Silhouette", "Soft light", "Low contrast"}),
        ("Insert", "shot_size", {"Wide", "Medium"}),
        ("Right heavy", "composition", {"Left heavy", "Center", "Symmetrical"}),
        ("3 shot", "shot_framing", {"Single", "Insert", "Over the shoulder"}),
    ],
)
def test_other_terms_are_certainly_wrong(label: str, slug: str, wrong: set[str]) -> None:
    found = [truth(label, slug, film) for film in range(2)]
    assert all(one.excludes(dimension_named(slug), term) for one in found for term in wrong), found


def test_what_changes_during_a_clip_is_uncertain() -> None:
    zoom = truth("Zoom in", "lens_size")
    assert zoom.status is TruthStatus.UNCERTAIN and {"Wide", "Medium"} <= zoom.possible
    assert truth("Push in", "shot_size").status is TruthStatus.UNCERTAIN
    assert truth("Camera roll", "camera_angle").possible == {"Dutch angle"}
    assert truth("Zoom in", "camera_angle") == NOTHING


def test_the_movement_is_the_staged_one_and_what_it_contains_is_possible() -> None:
    assert truth("Pan left", "camera_movement") == ShotTruth(TruthStatus.LABELLED, "Pan left")
    assert truth("Rack focus to background", "camera_movement").possible == {"Rack focus"}
    dolly_zoom = truth("Dolly zoom", "camera_movement")
    assert dolly_zoom.possible in ({"Pull out", "Zoom in"}, {"Push in", "Zoom out"})
    assert dolly_zoom.excludes(CAMERA_MOVEMENT, "Pan left")


def test_a_held_still_is_a_static_shot_and_a_still_file_cannot_tell() -> None:
    assert truth("Medium", "camera_movement") == UNKNOWN
    assert whole_truth(shot("Medium"), in_film=True)["camera_movement"].label == "Static shot"


def test_a_set_of_films_yields_its_shots_with_pictures_and_truth() -> None:
    settings = StudioSettings(films=2, seed=SEED, width=64, kind=MediaKind.STILL)
    rendered = list(islice(whole_shots(settings), 3))
    assert [shot.plan for shot, _ in rendered] == planned_shots(settings)[:3]
    for filmed, truths in rendered:
        assert filmed.pictures[0].shape == (36, 64, 3) and truths == whole_truth(filmed)


def test_every_dimension_has_a_truth_and_every_shot_one_lens_at_most() -> None:
    truths = whole_truth(shot("Aerial"))
    assert set(truths) == set(vocabulary.slugs()) and len(truths["lens_size"].terms(LENS_SIZE)) == 1
    assert truths["camera_angle"].terms(CAMERA_ANGLE) == {"Aerial"}
