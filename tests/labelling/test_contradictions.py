"""Labels that cannot both be true are named with a reason, and nothing else is."""

from __future__ import annotations

from itertools import combinations

import pytest

from data_pipeline.questions.distractors import NAMED_IN_FULL, is_wrong
from lmms_eval_shotbench.labelling.deciding.contradictions import (
    BadRule,
    contradictions_of,
    parse_rules,
    reason_against,
    rules,
)
from lmms_eval_shotbench.labelling.label_cell import LabelCell, Status
from lmms_eval_shotbench.vocabulary import DIMENSIONS, LIGHTING_CONDITION, LIGHTING_TYPE, Dimension, Label

TERMS = [(dimension, term) for dimension in DIMENSIONS for term in dimension.terms]


def found(**labels: str) -> dict[str, tuple[str, ...]]:
    return contradictions_of({slug: LabelCell(Status.LABELLED, label) for slug, label in labels.items()})


def test_both_cells_name_the_contradiction() -> None:
    sentence = ("Extreme Wide (shot size) and Insert (shot framing): an insert is a close view of a detail",)
    assert found(shot_size="Extreme Wide", shot_framing="Insert", lens_size="Wide") == {
        "shot_size": sentence,
        "shot_framing": sentence,
    }


@pytest.mark.parametrize(
    "labels",
    [
        {"shot_framing": "Insert, Establishing shot"},
        {"lighting_type": "Moonlight, Sunny"},
        {"lighting_type": "Daylight, Moonlight"},  # one facet
        {"lighting_condition": "Low contrast, Silhouette"},
        {"camera_movement": "Static shot, Pan left"},
        {"camera_movement": "Pan left, Pan right"},
        {"camera_angle": "Aerial", "shot_framing": "Over the shoulder"},
        {"composition": "Symmetrical, Left heavy"},
        {"lighting_type": "Overcast", "lighting_condition": "Hard light"},
    ],
)
def test_what_cannot_be_true_together_is_found(labels: dict[str, str]) -> None:
    assert set(found(**labels)) == set(labels)


@pytest.mark.parametrize(
    "labels",
    [
        {"shot_size": "Close Up", "shot_framing": "Single", "camera_angle": "Low angle", "lens_size": "Long Lens"},
        {"shot_size": "Extreme Wide", "shot_framing": "Establishing shot", "camera_angle": "Aerial"},
        {"shot_size": "Extreme Close Up", "shot_framing": "Insert", "camera_movement": "Rack focus"},
        {"lighting_type": "Daylight, Sunny", "lighting_condition": "Backlight, High contrast, Silhouette"},
        {"lighting_type": "Artificial light, Practical light, Tungsten", "lighting_condition": "Soft light"},
        {"composition": "Center, Symmetrical", "camera_movement": "Static shot"},
        {"camera_movement": "Firstly Static shot, then Pan left"},  # one after the other
        {"camera_movement": "Firstly Pan left, then Pan right"},
        {"camera_movement": "Push in, Tracking"},
    ],
)
def test_what_films_do_every_day_is_no_contradiction(labels: dict[str, str]) -> None:
    assert found(**labels) == {}


def test_only_labels_contradict_each_other() -> None:
    cells = {"shot_size": LabelCell(Status.LABELLED, "Wide"), "shot_framing": LabelCell(Status.UNSURE, "Insert")}
    assert contradictions_of(cells) == {}


def test_terms_of_a_facet_exclude_each_other_and_every_rule_goes_both_ways() -> None:
    for one, other in combinations(TERMS, 2):
        reason = reason_against(one, other)
        assert reason == reason_against(other, one)
        assert not (one[0] == other[0] and one[1].facet == other[1].facet) or reason


def test_no_term_contradicts_itself_or_a_whole_dimension() -> None:
    for one in TERMS:
        assert not reason_against(one, one)
        for dimension in DIMENSIONS:
            if dimension != one[0]:
                assert any(not reason_against(one, (dimension, term)) for term in dimension.terms)


def test_terms_that_distractors_may_not_be_for_each_other_do_not_contradict_each_other() -> None:
    for dimension in NAMED_IN_FULL:
        for one, other in combinations(dimension.terms, 2):
            overlap = not is_wrong(dimension, Label(((one,),)), Label(((other,),)))
            if overlap and one.facet != other.facet:
                assert not reason_against((dimension, one), (dimension, other)), f"{one} and {other}"


@pytest.mark.parametrize("dimension", [LIGHTING_TYPE, LIGHTING_CONDITION])
def test_terms_of_light_that_rule_each_other_out_as_answers_contradict_each_other(dimension: Dimension) -> None:
    for one, other in combinations(dimension.terms, 2):
        if is_wrong(dimension, Label(((one,),)), Label(((other,),))):
            assert reason_against((dimension, one), (dimension, other)), f"{one} and {other}"


def test_the_rules_have_a_reason_each() -> None:
    assert len(rules()) > 50
    assert all(reason == reason.strip() and not reason.endswith(".") for reason in rules().values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[rule]]\nfirst = {shot_size = ["Wide"]}\nreason = "r"', "must have first, second and a reason"),
        (
            '[[rule]]\nfirst = {shot_size = ["Huge"]}\nsecond = {lens_size = ["Wide"]}\nreason = "r"',
            "'Huge' is no term",
        ),
        (
            '[[rule]]\nfirst = {size = ["Wide"]}\nsecond = {lens_size = ["Wide"]}\nreason = "r"',
            "'size' is no dimension",
        ),
        ('[[rule]]\nfirst = {shot_size = ["Wide"]}\nsecond = {shot_size = ["Medium"]}\nreason = "r"', "already"),
    ],
)
def test_a_bad_rule_is_named(text: str, message: str) -> None:
    with pytest.raises(BadRule, match=f"rule 1.*{message}"):
        parse_rules(text)
