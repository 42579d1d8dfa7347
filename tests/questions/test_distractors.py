"""The film grammar: which labels are certainly wrong of a shot."""

from __future__ import annotations

from itertools import islice

import pytest

from data_pipeline.labelled_shot import label_text
from data_pipeline.questions import distractors
from data_pipeline.questions.distractors import (
    canonical,
    crossed,
    distance,
    is_hopeless,
    is_wrong,
    shape,
)
from lmms_eval_shotbench.vocabulary import (
    CAMERA_ANGLE,
    CAMERA_MOVEMENT,
    COMPOSITION,
    DIMENSIONS,
    LIGHTING_CONDITION,
    LIGHTING_TYPE,
    SHOT_FRAMING,
    SHOT_SIZE,
    Dimension,
    Label,
)


def label(dimension: Dimension, text: str) -> Label:
    return canonical(dimension, dimension.parse(text))


@pytest.mark.parametrize(
    ("dimension", "truth", "said"),
    [
        (SHOT_SIZE, "Close Up", "Medium Close Up"),
        (LIGHTING_CONDITION, "Backlight", "Side light"),
        (LIGHTING_CONDITION, "Silhouette", "Side light"),
        (LIGHTING_CONDITION, "Side light, Soft light", "Side light, Hard light"),
        (LIGHTING_TYPE, "Overcast", "Moonlight"),
        (SHOT_FRAMING, "Insert", "Group shot"),
        (CAMERA_ANGLE, "Dutch angle", "Overhead"),
        (COMPOSITION, "Symmetrical", "Left heavy"),
        (CAMERA_MOVEMENT, "Push in", "Zoom in"),
        (CAMERA_MOVEMENT, "Push in, Tilt up", "Push in, Tilt down"),
        (CAMERA_MOVEMENT, "Firstly Pan left, then Tilt up", "Firstly Tilt up, then Pan left"),
    ],
)
def test_is_certainly_wrong(dimension: Dimension, truth: str, said: str) -> None:
    assert is_wrong(dimension, label(dimension, truth), label(dimension, said))


@pytest.mark.parametrize(
    ("dimension", "truth", "said"),
    [
        (LIGHTING_CONDITION, "Backlight", "Hard light"),  # nobody said whether it is
        (LIGHTING_CONDITION, "Silhouette", "Backlight"),
        (LIGHTING_TYPE, "Daylight", "Sunny"),
        (LIGHTING_TYPE, "Practical light", "Tungsten"),
        (SHOT_FRAMING, "Over the shoulder", "2 shot"),
        (COMPOSITION, "Symmetrical", "Balanced"),
        (CAMERA_MOVEMENT, "Tracking", "Move to the left"),
        (CAMERA_MOVEMENT, "Rack focus", "Rack focus to foreground"),
        (CAMERA_MOVEMENT, "Dolly zoom", "Push in"),
        (CAMERA_MOVEMENT, "Push in, Tilt up", "Tilt up, Push in"),
        (CAMERA_MOVEMENT, "Push in", "Push in"),
    ],
)
def test_may_be_right_as_well(dimension: Dimension, truth: str, said: str) -> None:
    assert not is_wrong(dimension, label(dimension, truth), label(dimension, said))
    assert not is_wrong(dimension, label(dimension, said), label(dimension, truth))


def test_the_rules_name_terms_and_facets_of_their_dimension() -> None:
    for rules in (distractors._OVERLAPPING, distractors._RULED_OUT):
        for dimension in DIMENSIONS:
            known = {term.name for term in dimension.terms} | {term.facet for term in dimension.terms}
            for name, others in rules.get(dimension.slug, ()):
                assert {name, *others} <= known
        assert set(rules) <= {dimension.slug for dimension in DIMENSIONS}


def test_only_lamps_in_the_picture_and_edge_light_exclude_nothing() -> None:
    hopeless = {
        str(term) for dimension in DIMENSIONS for term in dimension.terms if is_hopeless(dimension, Label(((term,),)))
    }
    assert hopeless == {"Practical light", "Edge light"}


@pytest.mark.parametrize(
    ("dimension", "text"),
    [
        (LIGHTING_CONDITION, "Side light, Soft light"),
        (LIGHTING_TYPE, "Practical light, Artificial light"),
        (CAMERA_MOVEMENT, "Push in, Tilt up"),
        (CAMERA_MOVEMENT, "Firstly Pan left, then Tilt up"),
        (CAMERA_MOVEMENT, "Firstly Pan left, then Tilt up, then Push in"),
    ],
)
def test_made_up_labels_are_wrong_and_of_the_same_form_and_say_different_things(
    dimension: Dimension, text: str
) -> None:
    truth = label(dimension, text)
    sets = list(islice(crossed(dimension, truth), 50))
    assert sets
    for wrong in sets:
        assert len({truth, *wrong}) == 4
        for other in wrong:
            assert is_wrong(dimension, truth, other)
            assert shape(other) == shape(truth)
            assert canonical(dimension, other) == other


def test_two_steps_are_set_against_their_reverse() -> None:
    truth = label(CAMERA_MOVEMENT, "Firstly Pan left, then Tilt up")
    for wrong in crossed(CAMERA_MOVEMENT, truth):
        assert "Firstly Tilt up, then Pan left" in map(label_text, wrong)


def test_no_term_of_a_crossed_set_stands_out() -> None:
    truth = label(LIGHTING_CONDITION, "Side light, Soft light")
    for wrong in crossed(LIGHTING_CONDITION, truth):
        terms = [term for option in (truth, *wrong) for term in option.terms]
        assert {terms.count(term) for term in terms} in ({2}, {1, 4})  # crossed; or one slot varies


def test_labels_that_say_the_same_have_one_form() -> None:
    texts = ["Backlight, Silhouette", "Silhouette and Backlight", "Backlight, Silhouette, Backlight"]
    assert {label_text(label(LIGHTING_CONDITION, text)) for text in texts} == {"Backlight, Silhouette"}
    again = label(CAMERA_MOVEMENT, "Firstly Pan left, then Pan left, finally Arc")
    assert label_text(again) == "Firstly Pan left, then Arc"


def test_neighbouring_sizes_are_nearest() -> None:
    close = label(SHOT_SIZE, "Close Up")
    apart = [distance(SHOT_SIZE, close, Label(((term,),))) for term in SHOT_SIZE.terms]
    assert apart == [1, 0, 1, 2, 3, 4, 5]
    pan = label(CAMERA_MOVEMENT, "Pan left")
    far = distance(CAMERA_MOVEMENT, pan, label(CAMERA_MOVEMENT, "Zoom in"))
    for near in ("Pan right", "Move to the left"):
        assert distance(CAMERA_MOVEMENT, pan, label(CAMERA_MOVEMENT, near)) < far
