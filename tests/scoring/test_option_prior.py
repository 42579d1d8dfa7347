"""The option prior: predictions from the other folds only."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.scoring.option_prior import blind_letters, chance, fold_of
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT
from tests.support.items import make_item

OPTIONS = ("Wide", "Medium", "Close up", "Extreme close up")


def share_right(items: Sequence[QAItem]) -> float:
    letters = blind_letters(items)
    return sum(letter == item.answer for letter, item in zip(letters, items, strict=True)) / len(items)


def test_the_option_prior_answers_half_of_the_real_camera_movement_questions(real_items: dict[int, QAItem]) -> None:
    items = list(real_items.values())
    movement = [item for item in items if item.dimension == CAMERA_MOVEMENT.slug]
    assert share_right(movement) == pytest.approx(0.524, abs=0.001)
    assert share_right(items) == pytest.approx(0.313, abs=0.01)


def test_a_text_that_is_often_correct_is_predicted_regardless_of_letter_and_spelling() -> None:
    options = [OPTIONS[turn:] + OPTIONS[:turn] for turn in range(4)]
    items = [make_item(options[n % 4], "CBAD"[n % 4], index=n, media=f"{n}.jpg") for n in range(40)]
    odd = make_item(("medium.", "close-up", "Wide", "Insert"), "A", index=99, media="odd.jpg")
    *letters, guess = blind_letters([*items, odd])
    assert letters == [item.answer for item in items]
    assert guess == "B"


def test_questions_on_one_medium_are_not_used_for_each_other() -> None:
    items = [make_item(OPTIONS, "C", index=n, media="same.jpg") for n in range(50)]
    assert blind_letters(items) == ["A"] * 50


def test_dimensions_are_not_used_for_each_other() -> None:
    sizes = [make_item(OPTIONS, "C", index=n, media=f"{n}.jpg") for n in range(40)]
    lens = make_item(OPTIONS, "A", dimension="lens_size", index=99, media="lens.jpg")
    assert blind_letters([*sizes, lens])[-1] == "A"


def test_predictions_do_not_depend_on_the_order_of_the_items(real_items: dict[int, QAItem]) -> None:
    items = list(real_items.values())[:400]
    assert blind_letters(items[::-1]) == blind_letters(items)[::-1]


def test_folds_depend_only_on_the_medium() -> None:
    folds = [fold_of(f"image/{number}.jpg") for number in range(1000)]
    assert folds == [fold_of(f"image/{number}.jpg") for number in range(1000)]
    assert {folds.count(fold) for fold in range(10)} <= set(range(70, 131))


def test_chance_is_the_mean_over_the_items() -> None:
    assert chance([make_item(), make_item(("Wide", "Medium"), "A")]) == pytest.approx(0.375)
    with pytest.raises(ValueError, match="no items"):
        chance([])
