"""Which cell votes make: label, none or unsure, with confidence, agreement and alternatives."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from lmms_eval_shotbench.labelling.deciding.calibration import Calibration, CellCalibration, Logistic
from lmms_eval_shotbench.labelling.deciding.decide import decide, uncalibrated_slugs
from lmms_eval_shotbench.labelling.label_cell import LabelCell, Status
from lmms_eval_shotbench.labelling.vote import NO_TERM, Vote, Way
from lmms_eval_shotbench.vocabulary import (
    CAMERA_ANGLE,
    CAMERA_MOVEMENT,
    DIMENSIONS,
    LIGHTING_CONDITION,
    LIGHTING_TYPE,
    SHOT_SIZE,
    Dimension,
)

SOURCE = "tiny@1 by probability"


def vote(dimension: Dimension, **shares: float) -> Vote:
    named = {name.replace("_", " "): share for name, share in shares.items()}
    return Vote(dimension.slug, "tiny@1", Way.PROBABILITY, "still.jpg", "as filmed", named)


def calibrated(dimension: Dimension, cell: CellCalibration, source: str = SOURCE) -> Calibration:
    return Calibration({dimension.slug: {source: cell}})


def test_views_are_averaged_and_their_agreement_is_stated() -> None:
    first, second = vote(SHOT_SIZE, Close_Up=0.8, Medium=0.2), vote(SHOT_SIZE, Close_Up=0.4, Medium=0.6)
    cell = decide(SHOT_SIZE, [first, second])
    assert (cell.status, cell.label, cell.agreement, cell.source) == (Status.LABELLED, "Close Up", 0.5, SOURCE)
    assert cell.confidence == pytest.approx(0.6)
    assert cell.alternatives[0] == ("Medium", pytest.approx(0.4))


def test_votes_on_other_dimensions_do_not_count() -> None:
    cell = decide(SHOT_SIZE, [vote(SHOT_SIZE, Wide=1.0), vote(CAMERA_ANGLE, Aerial=1.0)])
    assert (cell.label, cell.agreement) == ("Wide", 1.0)


def test_a_shot_without_votes_is_for_a_person() -> None:
    assert decide(SHOT_SIZE, []) == LabelCell(Status.UNSURE)


def test_none_wins_only_if_it_is_voted_for() -> None:
    votes = [vote(CAMERA_ANGLE, Dutch_angle=0.3, Low_angle=0.2, none=0.5)]
    cell = decide(CAMERA_ANGLE, votes)
    assert (cell.status, cell.label, cell.confidence, cell.agreement) == (Status.NONE, "", 0.5, 1.0)
    assert cell.alternatives[0] == ("Dutch angle", pytest.approx(0.3))
    assert decide(CAMERA_ANGLE, [vote(CAMERA_ANGLE, Dutch_angle=0.6, Low_angle=0.4)]).label == "Dutch angle"


def test_below_the_threshold_the_best_guess_is_kept_and_stands_in_no_table() -> None:
    cell = decide(SHOT_SIZE, [vote(SHOT_SIZE, Wide=0.6, Medium=0.4)], min_confidence=0.7)
    assert (cell.status, cell.label, cell.table_label) == (Status.UNSURE, "Wide", "")
    unsure_none = decide(SHOT_SIZE, [vote(SHOT_SIZE, Wide=0.4, none=0.6)], min_confidence=0.7)
    assert (unsure_none.status, unsure_none.label) == (Status.UNSURE, "")


def test_dimensions_without_a_calibration_of_a_model_and_way_that_was_asked_are_named() -> None:
    votes = [vote(SHOT_SIZE, Wide=1.0), vote(CAMERA_ANGLE, Aerial=1.0)]
    fitted = calibrated(SHOT_SIZE, CellCalibration(Logistic(0.0)))
    assert uncalibrated_slugs(votes, fitted) == [CAMERA_ANGLE.slug]
    assert uncalibrated_slugs([replace(votes[0], model="other@2")], fitted) == [SHOT_SIZE.slug]
    assert uncalibrated_slugs([*votes[:1], replace(votes[0], model="other@2")], fitted) == []


def test_light_gets_several_terms_of_different_facets() -> None:
    cell = decide(LIGHTING_TYPE, [vote(LIGHTING_TYPE, Daylight=0.4, Sunny=0.3, Overcast=0.25, LED=0.05)])
    assert cell.label == "Daylight, Sunny"
    assert cell.agreement == 1.0


def test_light_never_gets_terms_that_contradict_each_other() -> None:
    votes = [vote(LIGHTING_CONDITION, Silhouette=0.4, Low_contrast=0.35, Backlight=0.25)]
    assert decide(LIGHTING_CONDITION, votes).label == "Backlight, Silhouette"


def test_other_dimensions_get_one_term() -> None:
    assert decide(CAMERA_ANGLE, [vote(CAMERA_ANGLE, High_angle=0.5, Dutch_angle=0.5)]).label == "High angle"


def test_a_second_movement_is_named_if_it_is_voted_for() -> None:
    first = vote(CAMERA_MOVEMENT, Pan_left=0.9, Tilt_up=0.1)
    second = replace(vote(CAMERA_MOVEMENT, Tilt_up=0.8, none=0.2), second=True)
    assert decide(CAMERA_MOVEMENT, [first, second]).label == "Pan left, Tilt up"
    nothing = replace(vote(CAMERA_MOVEMENT, Tilt_up=0.2, none=0.8), second=True)
    assert decide(CAMERA_MOVEMENT, [first, nothing]).label == "Pan left"
    opposite = replace(vote(CAMERA_MOVEMENT, Pan_right=0.9, none=0.1), second=True)
    assert decide(CAMERA_MOVEMENT, [first, opposite]).label == "Pan left"


def test_the_order_of_two_movements_is_that_of_the_votes() -> None:
    label = "Firstly Tilt up, then Pan left"
    first = vote(CAMERA_MOVEMENT, Pan_left=0.9, Tilt_up=0.1)
    details = {"first": "Pan left", "labels": {"Tilt up": label}}
    second = replace(vote(CAMERA_MOVEMENT, Tilt_up=0.8, none=0.2), second=True, details=details)
    assert decide(CAMERA_MOVEMENT, [first, second]).label == label
    beside_another = replace(second, details=details | {"first": "Zoom in"})
    assert decide(CAMERA_MOVEMENT, [first, beside_another]).label == "Pan left"


def test_of_each_model_the_best_way_counts_and_models_count_the_same() -> None:
    tiny = vote(SHOT_SIZE, Wide=1.0)
    letter = replace(vote(SHOT_SIZE, Medium=1.0), way=Way.LETTER)
    other = replace(vote(SHOT_SIZE, Medium=0.6, Wide=0.4), model="big@2", way=Way.TERM)
    cell = decide(SHOT_SIZE, [tiny, tiny, letter, other])
    assert (cell.label, cell.source) == ("Wide", "tiny@1 by probability + big@2 by term")
    assert cell.confidence == pytest.approx(0.7)
    assert cell.agreement == pytest.approx(2 / 3)
    by_letter = Calibration({}, {SHOT_SIZE.slug: {"tiny@1": Way.LETTER}})
    assert decide(SHOT_SIZE, [tiny, letter], by_letter).label == "Medium"


def test_a_calibration_sets_the_confidence_and_can_say_none() -> None:
    votes = [vote(CAMERA_ANGLE, Dutch_angle=0.99, Low_angle=0.01)]
    right, none = Logistic(1.0), Logistic(-3.0, {"is Dutch angle": 5.0})
    cell = decide(CAMERA_ANGLE, votes, calibrated(CAMERA_ANGLE, CellCalibration(right, none)))
    assert (cell.status, cell.agreement) == (Status.NONE, None)
    assert cell.confidence == pytest.approx(0.8808, abs=1e-4)
    low = [vote(CAMERA_ANGLE, Low_angle=0.99, Dutch_angle=0.01)]
    cell = decide(CAMERA_ANGLE, low, calibrated(CAMERA_ANGLE, CellCalibration(right, none)))
    assert cell.label == "Low angle"
    assert cell.confidence == pytest.approx(0.7311 * 0.9526, abs=1e-4)


def test_a_label_that_may_well_be_none_is_left_to_a_person() -> None:
    votes = [vote(SHOT_SIZE, Wide=1.0)]
    fitted = CellCalibration(Logistic(3.0), Logistic(-1.0), max_none=0.2)
    cell = decide(SHOT_SIZE, votes, calibrated(SHOT_SIZE, fitted))
    assert (cell.status, cell.label) == (Status.UNSURE, "Wide")
    assert decide(SHOT_SIZE, votes, calibrated(SHOT_SIZE, replace(fitted, max_none=0.3))).status is Status.LABELLED


def test_the_calibrations_own_threshold_can_be_used() -> None:
    fitted = calibrated(SHOT_SIZE, CellCalibration(Logistic(0.0), min_confidence=0.6))
    votes = [vote(SHOT_SIZE, Wide=1.0)]
    assert decide(SHOT_SIZE, votes, fitted, min_confidence=None).status is Status.UNSURE
    assert decide(SHOT_SIZE, votes, fitted).status is Status.LABELLED


def test_the_first_calibrated_model_decides_where_the_models_have_no_joint_calibration() -> None:
    tiny, other = vote(SHOT_SIZE, Wide=1.0), replace(vote(SHOT_SIZE, Medium=1.0), model="big@2")
    fitted = calibrated(SHOT_SIZE, CellCalibration(Logistic(0.0)), "big@2 by probability")
    cell = decide(SHOT_SIZE, [tiny, other], fitted)
    assert (cell.label, cell.confidence, cell.agreement) == ("Medium", 0.5, 0.5)
    assert cell.source == "big@2 by probability"  # whose label and confidence it is; both count for the agreement


def test_a_joint_calibration_applies_in_whatever_order_the_models_were_asked() -> None:
    votes = [vote(SHOT_SIZE, Wide=1.0), replace(vote(SHOT_SIZE, Wide=0.8, Medium=0.2), model="big@2")]
    fitted = calibrated(SHOT_SIZE, CellCalibration(Logistic(0.0)), "tiny@1 by probability + big@2 by probability")
    assert [decide(SHOT_SIZE, asked, fitted).confidence for asked in (votes, votes[::-1])] == [0.5, 0.5]


def test_a_calibration_of_another_model_changes_nothing() -> None:
    votes = [vote(SHOT_SIZE, Wide=0.7, Medium=0.3)]
    strange = calibrated(SHOT_SIZE, CellCalibration(Logistic(0.0)), "another@1 by letter")
    assert decide(SHOT_SIZE, votes, strange) == decide(SHOT_SIZE, votes)


shares = some.floats(0.0, 1.0)


@given(some.sampled_from(DIMENSIONS), some.lists(shares, min_size=22, max_size=22), some.booleans(), shares)
def test_every_cell_is_a_valid_label_with_probabilities(
    dimension: Dimension, scores: list[float], none: bool, min_confidence: float
) -> None:
    answers = [term.name for term in dimension.terms] + [NO_TERM] * none
    total = sum(scores[: len(answers)])
    numbers = [score / total for score in scores] if total > 1e-6 else [1 / len(answers)] * len(answers)
    votes = [Vote(dimension.slug, "m", Way.LETTER, "", "", dict(zip(answers, numbers, strict=False)))]
    cell = decide(dimension, votes, min_confidence=min_confidence)
    facets = [term.facet for step in dimension.parse(cell.label).steps for term in step] if cell.label else []
    assert len(facets) == len(set(facets))
    assert cell.confidence is not None
    assert 0 <= cell.confidence <= 1 + 1e-9
    assert (cell.status is Status.UNSURE) == (cell.confidence < min_confidence)
    assert all(0 <= share <= 1 + 1e-9 for _, share in cell.alternatives)
    assert cell.label not in dict(cell.alternatives)
    assert decide(dimension, votes) == decide(dimension, votes[::-1])
