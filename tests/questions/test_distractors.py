"""Which labels are certainly wrong for a shot."""

from __future__ import annotations

from itertools import islice

import pytest

from data_pipeline.labelled_shot import label_text
from data_pipeline.questions import distractors
from data_pipeline.questions.distractors import (
    canonical,
    derived_distractor_sets,
    has_no_wrong_term,
    is_wrong,
    label_distance,
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
    ("dimension", "truth", "option"),
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
def test_is_certainly_wrong(dimension: Dimension, truth: str, option: str) -> None:
    assert is_wrong(dimension, label(dimension, truth), label(dimension, option))


@pytest.mark.parametrize(
    ("dimension", "truth", "option"),
    [
        (LIGHTING_CONDITION, "Backlight", "Hard light"),  # the label does not say whether it is
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
def test_may_also_be_right(dimension: Dimension, truth: str, option: str) -> None:
    assert not is_wrong(dimension, label(dimension, truth), label(dimension, option))
    assert not is_wrong(dimension, label(dimension, option), label(dimension, truth))


def test_the_rules_name_terms_and_facets_of_their_dimension() -> None:
    for rules in (distractors._OVERLAPPING, distractors._RULED_OUT):
        for dimension in DIMENSIONS:
            known = {term.name for term in dimension.terms} | {term.facet for term in dimension.terms}
            for name, others in rules.get(dimension.slug, ()):
                assert {name, *others} <= known
        assert set(rules) <= {dimension.slug for dimension in DIMENSIONS}


def test_only_practical_light_and_edge_light_exclude_nothing() -> None:
    without_wrong_term = {
        str(term)
        for dimension in DIMENSIONS
        for term in dimension.terms
        if has_no_wrong_term(dimension, Label(((term,),)))
    }
    assert without_wrong_term == {"Practical light", "Edge light"}


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
def test_derived_labels_are_wrong_distinct_and_of_the_same_shape(dimension: Dimension, text: str) -> None:
    truth = label(dimension, text)
    sets = list(islice(derived_distractor_sets(dimension, truth), 50))
    assert sets
    for wrong in sets:
        assert len({truth, *wrong}) == 4
        for other in wrong:
            assert is_wrong(dimension, truth, other)
            assert shape(other) == shape(truth)
            assert canonical(dimension, other) == other


def test_two_steps_are_offered_in_reverse_order() -> None:
    truth = label(CAMERA_MOVEMENT, "Firstly Pan left, then Tilt up")
    for wrong in derived_distractor_sets(CAMERA_MOVEMENT, truth):
        assert "Firstly Tilt up, then Pan left" in map(label_text, wrong)


def test_no_term_of_a_derived_set_stands_out() -> None:
    truth = label(LIGHTING_CONDITION, "Side light, Soft light")
    for wrong in derived_distractor_sets(LIGHTING_CONDITION, truth):
        terms = [term for option in (truth, *wrong) for term in option.terms]
        assert {terms.count(term) for term in terms} in ({2}, {1, 4})  # both terms vary, or one


def test_equivalent_labels_have_one_canonical_form() -> None:
    texts = ["Backlight, Silhouette", "Silhouette and Backlight", "Backlight, Silhouette, Backlight"]
    assert {label_text(label(LIGHTING_CONDITION, text)) for text in texts} == {"Backlight, Silhouette"}
    again = label(CAMERA_MOVEMENT, "Firstly Pan left, then Pan left, finally Arc")
    assert label_text(again) == "Firstly Pan left, then Arc"


def test_adjacent_sizes_are_closest() -> None:
    close = label(SHOT_SIZE, "Close Up")
    distances = [label_distance(SHOT_SIZE, close, Label(((term,),))) for term in SHOT_SIZE.terms]
    assert distances == [1, 0, 1, 2, 3, 4, 5]
    pan = label(CAMERA_MOVEMENT, "Pan left")
    far = label_distance(CAMERA_MOVEMENT, pan, label(CAMERA_MOVEMENT, "Zoom in"))
    for near in ("Pan right", "Move to the left"):
        assert label_distance(CAMERA_MOVEMENT, pan, label(CAMERA_MOVEMENT, near)) < far
