"""Every spelling in the release is parsed into the right terms."""

from __future__ import annotations

import pytest

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import (
    CAMERA_MOVEMENT,
    DIMENSIONS,
    LENS_SIZE,
    LIGHTING_CONDITION,
    SHOT_SIZE,
    UnknownDimension,
    UnknownTerm,
    dimension_named,
)

# Options of the real file that repeat a term, by index and letter. Only in 1432 is it the correct answer.
KNOWN_DEFECTS = {(1432, "B"), (1478, "C"), (1535, "B"), (1549, "C"), (1561, "A"), (1618, "A"), (3381, "D")}


def steps(text: str) -> list[list[str]]:
    return [[term.name for term in step] for step in CAMERA_MOVEMENT.parse(text).steps]


@pytest.mark.parametrize(
    ("spelling", "meaning"),
    [
        ("Static", [["Static shot"]]),
        ("Static shot.", [["Static shot"]]),
        ("Trucking left", [["Move to the left"]]),
        ("Move to the left", [["Move to the left"]]),
        ("Push in and Tilt up", [["Push in", "Tilt up"]]),
        ("push in, tilt up", [["Push in", "Tilt up"]]),
        ("Firstly Pan left, then Trucking left", [["Pan left"], ["Move to the left"]]),
        ("Fisrtly zoom in, then boom down and tilt up.", [["Zoom in"], ["Boom down", "Tilt up"]]),
        ("Fristly pan left, then push in.", [["Pan left"], ["Push in"]]),
        ("Firstly pan left, then pan right, finally pan left.", [["Pan left"], ["Pan right"], ["Pan left"]]),
        ("Pan left, then tilt down.", [["Pan left"], ["Tilt down"]]),
        (
            "Push in, and the focus changes from foreground to background.",
            [["Push in", "Rack focus to background"]],
        ),
    ],
)
def test_spellings_of_camera_movements_are_parsed_into_terms_in_order(spelling: str, meaning: list[list[str]]) -> None:
    assert steps(spelling) == meaning


def test_terms_are_found_by_alias_hyphen_and_case() -> None:
    assert SHOT_SIZE.term("extreme close-up").name == "Extreme Close Up"
    assert SHOT_SIZE.term("MCU").name == "Medium Close Up"
    assert SHOT_SIZE.term("Wide shot").name == "Wide"
    assert LENS_SIZE.term("Fisheye").name == "Ultra Wide / Fisheye"


def test_the_error_for_an_unknown_term_lists_the_known_terms() -> None:
    with pytest.raises(UnknownTerm, match=r"'Eye level' is no term of Camera Angle; its terms: Aerial"):
        dimension_named("camera_angle").parse("Eye level")
    with pytest.raises(UnknownDimension, match="'colour' is no dimension"):
        dimension_named("colour")


def test_repeated_terms_are_detected() -> None:
    assert LENS_SIZE.parse("Long Lens, Long Lens").repeated_terms
    assert CAMERA_MOVEMENT.parse("Firstly Arc, then Arc.").repeated_terms
    assert not CAMERA_MOVEMENT.parse("Firstly pan left, then pan right, finally pan left.").repeated_terms
    assert LIGHTING_CONDITION.parse("Backlight, Silhouette").is_compound


def test_dimensions_are_found_by_slug_and_release_label_and_names_are_unique() -> None:
    assert len(DIMENSIONS) == 8
    for dimension in DIMENSIONS:
        assert dimension_named(dimension.slug) is dimension_named(dimension.release_label) is dimension
        assert len({term.name for term in dimension.terms}) == len(dimension.terms)
    assert len({dimension.abbreviation for dimension in DIMENSIONS}) == 8


def test_every_option_of_the_real_questions_parses_and_only_the_known_defects_occur(
    real_items: dict[int, QAItem],
) -> None:
    defects = set()
    for index, item in real_items.items():
        dimension = dimension_named(item.dimension)
        assert item.question == dimension.question
        for letter, text in item.choices.items():
            if dimension.parse(text).repeated_terms:
                defects.add((index, letter))
    assert defects == KNOWN_DEFECTS


def test_no_real_question_has_the_same_label_in_two_spellings(real_items: dict[int, QAItem]) -> None:
    for item in real_items.values():
        labels = [item.label(letter) for letter in item.letters]
        assert len(set(labels)) == len(labels), item
