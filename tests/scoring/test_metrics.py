"""Averages and intervals against values computed by hand or by simulation."""

from __future__ import annotations

import math
import random

import pytest

from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.scoring.metrics import Graded, accuracy, macro_accuracy, score, term_f1, wilson
from tests.support.items import make_item


def graded(right: bool, index: int = 1, dimension: str = "shot_size", media: str | None = None) -> Graded:
    item = make_item(dimension=dimension, index=index, media=media or f"image/{index}.jpg")
    return Graded(item, grade(item, "C" if right else "A"))


def test_micro_counts_items_and_macro_counts_dimensions() -> None:
    entries = [graded(True, index) for index in range(9)] + [graded(False, 9)]
    entries += [graded(False, index, "lens_size") for index in range(10, 12)]
    scores = score(entries)
    assert scores.micro.value == pytest.approx(9 / 12)
    assert scores.macro.value == pytest.approx((9 / 10 + 0) / 2)
    assert scores.by_dimension["shot_size"].value == pytest.approx(0.9)
    assert list(scores.by_dimension) == ["shot_size", "lens_size"]
    assert (scores.correct, scores.n) == (9, 12)


def test_undecided_counts_as_wrong_and_lowers_the_answered_rate() -> None:
    item = make_item()
    scores = score([Graded(item, grade(item, "C")), Graded(item, grade(item, "B or C"))])
    assert (scores.micro.value, scores.answered_rate) == (0.5, 0.5)


def test_the_interval_of_independent_items_is_the_wilson_interval() -> None:
    # 81 of 263: Wilson's interval is 0.2553 to 0.3662 (Newcombe 1998, table I, method 3).
    low, high = wilson(81 / 263, math.sqrt(81 / 263 * 182 / 263 / 263), 263)
    assert (low, high) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))


def test_an_interval_has_a_positive_width_within_zero_and_one() -> None:
    all_right = accuracy([graded(True, index) for index in range(20)])
    assert all_right.value == all_right.high == 1.0
    assert all_right.low == pytest.approx(1 / (1 + 1.959964**2 / 20))
    none_right = accuracy([graded(False, index) for index in range(20)])
    assert (none_right.low, none_right.value) == (0.0, 0.0)
    assert none_right.high == pytest.approx(1 - all_right.low)
    single = accuracy([graded(True)])
    assert 0 < single.low < single.high == 1.0


def test_questions_on_one_medium_do_not_count_as_independent() -> None:
    independent = [graded(index % 2 == 0, index) for index in range(100)]
    clustered = [graded(index % 20 < 10, index, media=f"image/{index // 10}.jpg") for index in range(100)]
    assert accuracy(independent).value == accuracy(clustered).value == 0.5
    # Ten questions per medium, all right or all wrong: the standard error grows by about sqrt(10).
    assert accuracy(clustered).stderr / accuracy(independent).stderr == pytest.approx(math.sqrt(10), rel=0.1)


def test_a_macro_interval_uses_the_mean_of_each_dimension() -> None:
    all_right = [graded(True, index) for index in range(50)]
    all_wrong = [graded(False, 50 + index, "lens_size") for index in range(50)]
    assert macro_accuracy(all_right + all_wrong).stderr == 0.0
    assert accuracy(all_right + all_wrong).stderr > 0.04


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.65, 0.95])
def test_intervals_cover_the_truth_about_95_times_in_100(share: float) -> None:
    draw, covered, runs = random.Random(0), 0, 400
    for _ in range(runs):
        chance = [share if draw.random() < 0.5 else None for _ in range(120)]  # half of the media have three questions
        entries, index = [], 0
        for medium, tied in enumerate(chance):
            right = draw.random() < share
            for _question in range(3 if tied else 1):
                entries.append(graded(right, index, media=f"image/{medium}.jpg"))
                index += 1
        estimate = accuracy(entries)
        covered += estimate.low <= share <= estimate.high
    # With correct intervals, 400 runs leave 0.92..0.98 with a probability of about 1/150; the seed is fixed.
    assert 0.92 <= covered / runs <= 0.98


def test_term_f1_gives_partial_credit_for_compound_answers() -> None:
    options = ("Backlight, Silhouette", "Backlight, Side light", "Hard light, Soft light", "Silhouette, Backlight")
    item = make_item(options, "A", "lighting_condition")
    assert [term_f1(item, letter) for letter in "ABCD"] == [1.0, 0.5, 0.0, 1.0]
    assert term_f1(item, None) == 0.0
    yes_no = make_item(("yes", "no"), "A", "shot_framing")
    assert [term_f1(yes_no, letter) for letter in "AB"] == [1.0, 0.0]
    scores = score([Graded(item, grade(item, "B")), graded(True)])
    assert scores.compound is not None
    assert (scores.compound.n, scores.compound.value, scores.compound_term_f1) == (1, 0.0, 0.5)


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(ValueError, match="no items"):
        score([])
