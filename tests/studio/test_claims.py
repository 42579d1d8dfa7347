"""Truth from certain and possible terms, and of several moments of a shot."""

from __future__ import annotations

import pytest

from data_pipeline.studio.claims import claim, exactly_one, over_time
from lmms_eval_shotbench.labelling.truth import NOTHING, UNKNOWN, TruthStatus
from lmms_eval_shotbench.vocabulary import CAMERA_ANGLE, LIGHTING_TYPE, SHOT_SIZE

LEVEL, HIGH = claim(CAMERA_ANGLE, []), claim(CAMERA_ANGLE, ["High angle"])
MAYBE_HIGH = claim(CAMERA_ANGLE, [], ["High angle"])


def test_certain_terms_make_a_label_in_the_order_of_the_vocabulary() -> None:
    truth = claim(LIGHTING_TYPE, {"Tungsten", "Artificial light"}, {"Tungsten", "Practical light"})
    assert (truth.status, truth.label) == (TruthStatus.LABELLED, "Artificial light, Tungsten")
    assert truth.possible == {"Practical light"}


def test_without_certain_terms_a_shot_is_uncertain_or_has_none() -> None:
    assert LEVEL == NOTHING and MAYBE_HIGH.status is TruthStatus.UNCERTAIN
    assert exactly_one(SHOT_SIZE, ["Wide"]).label == "Wide"
    assert exactly_one(SHOT_SIZE, ["Wide", "Medium"]).possible == {"Wide", "Medium"}
    assert exactly_one(SHOT_SIZE, []) == UNKNOWN


def test_a_term_of_another_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="Sunny: no terms of Camera Angle"):
        claim(CAMERA_ANGLE, ["Sunny"])


def test_only_what_holds_at_all_moments_is_certain() -> None:
    assert over_time(CAMERA_ANGLE, [HIGH, HIGH]) == HIGH and over_time(CAMERA_ANGLE, [LEVEL, LEVEL]) == NOTHING
    assert over_time(CAMERA_ANGLE, [LEVEL, HIGH]) == over_time(CAMERA_ANGLE, [MAYBE_HIGH, LEVEL]) == MAYBE_HIGH
    assert over_time(CAMERA_ANGLE, [HIGH, UNKNOWN]) == UNKNOWN
