"""Scores compared with the option prior, on synthetic and on real runs."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lmms_eval_shotbench.grading.grade import Grade
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.runs.score import score_responses
from lmms_eval_shotbench.scoring.metrics import Estimate, Graded, accuracy
from lmms_eval_shotbench.scoring.option_prior import blind_letters
from lmms_eval_shotbench.scoring.prior_aware import (
    PriorGap,
    above_chance,
    blind_graded,
    gap,
    prior_aware,
    prior_aware_json,
    prior_remarks,
)
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, COMPOSITION, DIMENSIONS, LIGHTING_CONDITION, SHOT_SIZE
from tests.support.items import make_item
from tests.support.real_data import stored_responses

SIZES = tuple(term.name for term in SHOT_SIZE.terms[:4])
LEAVE_ONE_OUT = 1 << 62  # number of folds, so large that every medium has its own


def answered(items: Sequence[QAItem], answer: Callable[[QAItem], str | None]) -> list[Graded]:
    letters = [answer(item) for item in items]
    return [
        Graded(item, Grade(letter, letter == item.answer, "test", well_formed=True))
        for item, letter in zip(items, letters, strict=True)
    ]


def share_right(items: Sequence[QAItem], letters: Sequence[str]) -> float:
    return sum(item.answer == letter for item, letter in zip(items, letters, strict=True)) / len(items)


def percent(share: Estimate | PriorGap | None) -> tuple[float, float, float]:
    assert share is not None
    value, low, high = (round(100 * number, 1) for number in (share.value, share.low, share.high))
    return value, low, high


def real_run(real_data: Path, items: dict[int, QAItem], name: str) -> list[Graded]:
    responses = {row["index"]: str(row["response"]) for row in stored_responses(real_data, name)}
    return score_responses(list(items.values()), [responses[index] for index in items]).graded


def test_the_option_prior_answers_half_of_camera_movement(real_items: dict[int, QAItem]) -> None:
    numbers = prior_aware(answered(list(real_items.values()), lambda item: "A"))
    found = {slug: round(100 * split.accuracy.value, 1) for slug, split in numbers.prior_by_dimension.items()}
    assert list(found.values()) == [26.6, 28.3, 25.9, 22.7, 35.6, 42.9, 20.3, 52.4]
    assert list(found) == [dimension.slug for dimension in DIMENSIONS]
    movement = numbers.prior_by_dimension[CAMERA_MOVEMENT.slug].accuracy
    assert movement.low < 0.53 < movement.high


def test_a_real_model_is_worse_where_the_prior_is_wrong(real_data: Path, real_items: dict[int, QAItem]) -> None:
    numbers = prior_aware(real_run(real_data, real_items, "shotbench.shotvl-3b.reasoning"))
    movement = numbers.prior_by_dimension[CAMERA_MOVEMENT.slug]
    assert percent(movement.where_right) == (64.2, 58.0, 70.0)
    assert percent(movement.where_wrong) == (36.7, 30.6, 43.2)
    assert percent(movement.difference) == (27.5, 18.5, 35.9)
    assert percent(numbers.prior.where_right) == (69.7, 66.9, 72.3)
    assert percent(numbers.prior.where_wrong) == (64.3, 62.3, 66.1)
    assert percent(numbers.prior_macro.difference) == (8.0, 4.7, 11.2)
    assert percent(numbers.single)[0] == 64.7
    short_side = numbers.terms[COMPOSITION.slug]["Short side"]
    assert short_side.value < 0.25 and short_side.n > 50


@pytest.mark.slow
def test_a_real_model_without_fine_tuning_follows_the_prior_too(real_data: Path, real_items: dict[int, QAItem]) -> None:
    numbers = prior_aware(real_run(real_data, real_items, "shotbench.qwen2.5-vl-3b.direct"))
    movement = numbers.prior_by_dimension[CAMERA_MOVEMENT.slug]
    assert (percent(movement.where_right), percent(movement.where_wrong)) == ((38.7, 32.8, 45.0), (19.9, 15.2, 25.7))
    lighting = numbers.prior_by_dimension[LIGHTING_CONDITION.slug].difference
    assert lighting is not None and lighting.low > 0.1
    assert percent(numbers.above_chance_by_dimension[CAMERA_MOVEMENT.slug]) == (6.3, 1.0, 12.1)


def test_an_oracle_is_right_on_both_parts_of_the_split(real_items: dict[int, QAItem]) -> None:
    numbers = prior_aware(answered(list(real_items.values()), lambda item: item.answer))
    for split in (numbers.prior, numbers.prior_macro, *numbers.prior_by_dimension.values()):
        assert split.where_right and split.where_wrong and split.difference
        assert split.where_right.value == split.where_wrong.value == 1.0
        assert split.difference.low < split.difference.value == 0.0 < split.difference.high
    assert numbers.above_chance_macro.value == numbers.above_chance.value == 1.0
    assert all(recall.value == 1.0 for recalls in numbers.terms.values() for recall in recalls.values())
    assert all(gold == answer for pairs in numbers.confusion.values() for gold, answer, _ in pairs)


def test_the_option_prior_is_right_on_one_part_of_the_split_only(real_items: dict[int, QAItem]) -> None:
    numbers = prior_aware(blind_graded(list(real_items.values())))
    for split in (numbers.prior, numbers.prior_macro, *numbers.prior_by_dimension.values()):
        assert split.where_right and split.where_wrong and split.difference
        assert (split.where_right.value, split.where_wrong.value, split.difference.value) == (1.0, 0.0, 1.0)
        assert split.difference.low > 0.9
    assert numbers.above_chance_by_dimension[COMPOSITION.slug].value < 0  # worse than guessing


def test_on_a_balanced_set_the_prior_is_at_chance_and_leave_one_out_is_always_wrong() -> None:
    draw = random.Random(0)
    items = [
        make_item(tuple(draw.sample(SIZES, 4)), "ABCD"[draw.randrange(4)], index=n, media=f"{n}.jpg")
        for n in range(2000)
    ]
    golds = [SIZES[n % 4] for n in range(2000)]  # uniform
    balanced = [
        make_item(item.options, "ABCD"[item.options.index(gold)], index=n, media=item.media_path)
        for n, (item, gold) in enumerate(zip(items, golds, strict=True))
    ]
    assert share_right(balanced, blind_letters(balanced)) == pytest.approx(0.25, abs=0.05)
    assert share_right(balanced, blind_letters(balanced, LEAVE_ONE_OUT)) == 0.0


def test_on_real_lens_sizes_leave_one_out_is_far_below_chance(real_items: dict[int, QAItem]) -> None:
    lenses = [item for item in real_items.values() if item.dimension == DIMENSIONS[3].slug]
    assert share_right(lenses, blind_letters(lenses, LEAVE_ONE_OUT)) < 0.05
    assert share_right(lenses, blind_letters(lenses)) > 0.2


def test_chance_correction_depends_on_the_number_of_options() -> None:
    four = [make_item(index=n, media=f"{n}.jpg") for n in range(40)]
    two = [make_item(("Wide", "Medium"), "A", "lens_size", index=n, media=f"{n}.jpg") for n in range(40, 80)]
    numbers = prior_aware(answered([*four, *two], lambda item: item.answer if item.source_index % 2 else "B"))
    assert numbers.above_chance_by_dimension[SHOT_SIZE.slug].value == pytest.approx((0.5 - 0.25) / 0.75)
    assert numbers.above_chance_by_dimension["lens_size"].value == pytest.approx(0.0)
    assert numbers.above_chance_macro.value == pytest.approx((0.5 - 0.375) / 0.625)
    plain = accuracy(answered(four, lambda item: item.answer if item.source_index % 2 else "B"))
    assert above_chance(plain, 0.25).high == pytest.approx((plain.high - 0.25) / 0.75)


def test_recall_counts_a_compound_answer_for_each_of_its_terms() -> None:
    options = ("Backlight, Silhouette", "Backlight, Hard light", "Side light, Silhouette", "Top light, Soft light")
    items = [make_item(options, "A", LIGHTING_CONDITION.slug, index=n, media=f"{n}.jpg") for n in range(4)]
    numbers = prior_aware(answered(items, lambda item: "ABD"[item.source_index] if item.source_index < 3 else None))
    recalls = numbers.terms[LIGHTING_CONDITION.slug]
    assert {name: (recall.value, recall.n) for name, recall in recalls.items()} == {
        "Backlight": (0.5, 4),
        "Silhouette": (0.25, 4),
    }
    assert numbers.confusion[LIGHTING_CONDITION.slug] == [
        ("Backlight, Silhouette", None, 1),
        ("Backlight, Silhouette", "Backlight, Hard light", 1),
        ("Backlight, Silhouette", "Backlight, Silhouette", 1),
        ("Backlight, Silhouette", "Top light, Soft light", 1),
    ]
    assert numbers.single is None


def test_spellings_of_one_label_share_a_row_of_the_confusion_matrix() -> None:
    golds = ("Static", "Static shot", "static.")
    items = [
        make_item((gold, "Push in", "Arc", "Zoom in"), "A", CAMERA_MOVEMENT.slug, index=n, media=f"{n}.mp4")
        for n, gold in enumerate(golds)
    ]
    numbers = prior_aware(answered(items, lambda item: "B"))
    assert numbers.confusion[CAMERA_MOVEMENT.slug] == [("Static shot", "Push in", 3)]


def test_options_without_terms_are_in_the_confusion_matrix_and_have_no_recall(
    real_data: Path, refined_items: dict[int, QAItem]
) -> None:
    graded = real_run(real_data, refined_items, "refineshot.qwen2.5-vl-3b.direct")
    numbers = prior_aware(graded)
    pairs = [pair for pairs in numbers.confusion.values() for pair in pairs if pair[0] == "yes"]
    asked = sum(item.gold.casefold() == "yes" for item in refined_items.values())
    assert sum(count for *_, count in pairs) == asked > 0
    compound = sum(1 for entry in graded if (label := entry.item.label(entry.item.answer)) and label.is_compound)
    assert numbers.single and numbers.single.n == len(graded) - asked - compound


def test_a_gap_has_the_newcombe_interval() -> None:
    """The example of Newcombe (1998): 56/70 against 48/80, method 10: 0.2, 0.0524 to 0.3339."""
    one = accuracy([*answered_n(70, 56)])
    other = accuracy([*answered_n(80, 48)])
    found = gap(one, other)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=0.002)


def answered_n(items: int, right: int) -> list[Graded]:
    asked = [make_item(index=n, media=f"{n}.jpg") for n in range(items)]
    return answered(asked, lambda item: item.answer if item.source_index < right else None)


def test_a_split_without_items_on_one_part_is_reported_as_none() -> None:
    numbers = prior_aware(answered([make_item(answer="B")], lambda item: "B"))
    assert numbers.prior.where_right is None and numbers.prior.difference is None
    assert numbers.prior_macro.where_wrong is None
    assert "of the 1 where it is wrong" in prior_remarks(numbers)[0]
    assert json.loads(json.dumps(prior_aware_json(numbers)))["prior"]["where_right"] is None


def test_the_json_of_a_run_contains_all_metrics(real_data: Path, real_items: dict[int, QAItem]) -> None:
    numbers = prior_aware(real_run(real_data, real_items, "shotbench.shotvl-3b.reasoning"))
    scores = json.loads(json.dumps(prior_aware_json(numbers)))
    assert set(scores) == {"prior", "chance_corrected", "single", "terms", "confusion"}
    assert set(scores["prior"]) == {"accuracy", "where_right", "where_wrong", "difference", "macro", "by_dimension"}
    assert scores["prior"]["where_right"]["n"] + scores["prior"]["where_wrong"]["n"] == len(real_items)
    assert sum(count for pairs in scores["confusion"].values() for *_, count in pairs) == len(real_items)
    assert len(prior_remarks(numbers)) == 2
