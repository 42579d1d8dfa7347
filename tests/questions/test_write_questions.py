"""Labelled shots become questions with one right option that do not give the answer away."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from data_pipeline.defects import Defect, DefectKind
from data_pipeline.labelled_shot import LabelledShot, label_text
from data_pipeline.questions.distractors import canonical, is_wrong, shape
from data_pipeline.questions.write_questions import Difficulty, QuestionPolicy, questions_of_shots
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.scoring.option_prior import blind_letters, chance
from lmms_eval_shotbench.vocabulary import (
    CAMERA_MOVEMENT,
    COMPOSITION,
    DIMENSIONS,
    LIGHTING_CONDITION,
    LIGHTING_TYPE,
    SHOT_SIZE,
    Dimension,
)
from tests.support.drawn_shots import shot

PLAIN = QuestionPolicy()


def shots_of(dimension: Dimension, counts: dict[str, int]) -> list[LabelledShot]:
    texts = [text for text, count in counts.items() for _ in range(count)]
    random.Random(0).shuffle(texts)
    return [shot(number, {dimension.slug: text}) for number, text in enumerate(texts)]


def skewed(dimension: Dimension, shots: int = 400) -> list[LabelledShot]:
    """Each term 0.7 times as frequent as the one before; film annotations are skewed, too."""
    draw = random.Random(dimension.slug)
    weights = [0.7**rank for rank in range(len(dimension.terms))]
    return [shot(number, {dimension.slug: str(draw.choices(dimension.terms, weights)[0])}) for number in range(shots)]


def asked(shots: Sequence[LabelledShot], policy: QuestionPolicy = PLAIN) -> list[QAItem]:
    return questions_of_shots(shots, policy, [])


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=lambda dimension: dimension.slug)
@pytest.mark.parametrize("difficulty", Difficulty)
def test_the_right_option_is_the_label_and_all_others_are_certainly_wrong(
    dimension: Dimension, difficulty: Difficulty
) -> None:
    shots = {one.shot_id: one for one in skewed(dimension)}
    items = asked(list(shots.values()), QuestionPolicy(difficulty=difficulty))
    assert items
    for item in items:
        truth = shots[item.item_id.split("-")[1]].label(dimension)
        assert truth and item.label(item.answer) == canonical(dimension, truth)
        for letter in set(item.letters) - {item.answer}:
            other = item.label(letter)
            assert other and is_wrong(dimension, truth, other)


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=lambda dimension: dimension.slug)
def test_frequencies_and_letters_do_not_reveal_answers_of_skewed_labels(dimension: Dimension) -> None:
    items = asked(skewed(dimension))
    hits = sum(letter == item.answer for letter, item in zip(blind_letters(items), items, strict=True))
    assert hits / len(items) <= chance(items) + 0.03
    for size in {len(item.options) for item in items}:
        answers = [item.answer for item in items if len(item.options) == size]
        counts = [answers.count(letter) for letter in "ABCD"[:size]]
        assert max(counts) - min(counts) <= 1


def test_in_full_rounds_every_option_is_wrong_three_times_as_often_as_right() -> None:
    sizes = [str(term) for term in SHOT_SIZE.terms[:6]]
    items = asked(shots_of(SHOT_SIZE, dict(zip(sizes, (40, 30, 30, 30, 20, 10), strict=True))))
    right = Counter(item.gold for item in items)
    offered = Counter(option for item in items for option in item.options)
    assert len(items) == 160
    assert offered == {text: 4 * count for text, count in right.items()}


def test_every_set_of_options_has_each_of_them_right_equally_often() -> None:
    items = asked(skewed(SHOT_SIZE))
    by_set = Counter((frozenset(item.options), item.gold) for item in items if len(item.options) == 4)
    for options in {options for options, _ in by_set}:
        assert len({by_set[options, text] for text in options}) == 1


def test_every_label_becomes_a_question_or_a_defect() -> None:
    shots = [one for dimension in DIMENSIONS for one in skewed(dimension, 60)]
    shots = [replace(one, shot_id=f"s{number}") for number, one in enumerate(shots)]
    defects: list[Defect] = []
    items = questions_of_shots(shots, PLAIN, defects)
    assert len(items) + len(defects) == len(shots)
    assert {defect.kind for defect in defects} == {DefectKind.SURPLUS, DefectKind.TOO_FEW_DISTRACTORS}
    assert all(defect.loses_row for defect in defects)


def test_practical_light_is_not_asked_about() -> None:
    defects: list[Defect] = []
    shots = shots_of(LIGHTING_TYPE, {"Practical light": 3, "Daylight": 2, "Moonlight": 2, "Mixed light": 2})
    items = questions_of_shots(shots, PLAIN, defects)
    assert len(items) == 6
    assert Counter(defect.kind for defect in defects) == {DefectKind.TOO_FEW_DISTRACTORS: 3}
    assert "Practical light" in defects[0].detail


def test_small_rounds_are_filled_up() -> None:
    items = asked(shots_of(COMPOSITION, {str(term): 30 for term in COMPOSITION.terms}))
    assert Counter(len(item.options) for item in items) == {4: 180}
    offered = Counter(option for item in items for option in item.options)
    assert set(offered.values()) == {120}


def test_two_contrasts_make_a_question_of_two_options_if_allowed() -> None:
    shots = shots_of(LIGHTING_CONDITION, {"High contrast": 5, "Low contrast": 5})
    assert {item.options for item in asked(shots)} <= {
        ("High contrast", "Low contrast"),
        ("Low contrast", "High contrast"),
    }
    assert asked(shots, QuestionPolicy(fewest_options=3)) == []


def test_options_of_a_compound_answer_have_its_shape() -> None:
    counts = {"Side light, Soft light": 4, "Hard light and Top light": 3, "Backlight, Silhouette": 2, "Top light": 4}
    counts |= {"Side light": 4, "High contrast, Underlight": 3}
    items = asked(shots_of(LIGHTING_CONDITION, counts))
    assert any("," in item.gold for item in items)
    for item in items:
        labels = [item.label(letter) for letter in item.letters]
        assert len({shape(label) for label in labels if label}) == 1
        assert len({canonical(LIGHTING_CONDITION, label) for label in labels if label}) == len(item.options)


def test_a_movement_in_two_steps_is_offered_in_reverse() -> None:
    [item] = asked(shots_of(CAMERA_MOVEMENT, {"Fristly pan left, then tilt up": 1}))
    assert item.gold == "Firstly Pan left, then Tilt up"
    assert "Firstly Tilt up, then Pan left" in item.options


def test_a_single_term_is_dropped_for_balance_unless_balance_is_off() -> None:
    shots = shots_of(SHOT_SIZE, {"Wide": 7})
    defects: list[Defect] = []
    assert questions_of_shots(shots, PLAIN, defects) == []
    assert [defect.kind for defect in defects] == [DefectKind.SURPLUS] * 7
    items = asked(shots, QuestionPolicy(balance=False))
    assert [len(item.options) for item in items] == [4] * 7


def test_the_limit_per_term_selects_shots_of_many_films() -> None:
    shots = [replace(one, film_id=f"film{number // 50}") for number, one in enumerate(skewed(SHOT_SIZE, 400))]
    items = asked(shots, QuestionPolicy(max_per_term=8))
    right = Counter(item.gold for item in items)
    assert max(right.values()) == 8
    assert len({item.film_id for item in items if item.gold == "Extreme Close Up"}) == 8


def test_the_order_of_the_shots_changes_nothing_but_the_order_of_the_questions() -> None:
    shots = skewed(CAMERA_MOVEMENT)
    forward, reverse = (asked(order) for order in (shots, shots[::-1]))
    assert [item.source_index for item in reverse] == list(range(len(reverse)))
    assert [replace(item, source_index=0) for item in forward] == [
        replace(item, source_index=0) for item in reverse[::-1]
    ]


def test_another_seed_gives_other_questions() -> None:
    shots = skewed(SHOT_SIZE)
    assert asked(shots) == asked(shots)
    assert asked(shots) != asked(shots, QuestionPolicy(seed=1))


@pytest.mark.parametrize("seed", range(5))
def test_hard_options_are_adjacent_and_easy_ones_are_not(seed: int) -> None:
    shots = shots_of(SHOT_SIZE, {str(term): 1 for term in SHOT_SIZE.terms})

    def adjacent_pairs(difficulty: Difficulty) -> int:
        items = asked(shots, QuestionPolicy(difficulty=difficulty, seed=seed))
        round_of_four = next(item for item in items if len(item.options) == 4)
        positions = sorted(SHOT_SIZE.terms.index(SHOT_SIZE.term(option)) for option in round_of_four.options)
        return sum(later - earlier == 1 for earlier, later in pairwise(positions))

    assert adjacent_pairs(Difficulty.HARD) == 3 > adjacent_pairs(Difficulty.EASY)


def test_items_carry_the_metadata_of_their_shots() -> None:
    shots = shots_of(SHOT_SIZE, {"Wide": 1, "CU": 1})
    shots = [replace(one, start_seconds=1.5, end_seconds=2.0, licence="cc0-1.0") for one in shots]
    items = questions_of_shots(shots, PLAIN, [], first_index=10)
    assert [item.source_index for item in items] == [10, 11]
    assert [item.item_id for item in items] == ["drawn-s0000-SS", "drawn-s0001-SS"]
    for item, one in zip(items, shots, strict=True):
        kept = ("film_id", "media_kind", "media_path", "media_sha256", "start_seconds", "end_seconds", "licence")
        assert [getattr(item, name) for name in kept] == [getattr(one, name) for name in kept]
        assert item.gold == label_text(SHOT_SIZE.parse(one.labels[SHOT_SIZE.slug]))
        assert item.question == SHOT_SIZE.question


def test_a_still_is_not_asked_about_movement() -> None:
    shots = [shot(number, {SHOT_SIZE.slug: text}) for number, text in enumerate(("Wide", "Close Up"))]
    shots = [replace(one, labels={**one.labels, CAMERA_MOVEMENT.slug: "Push in"}) for one in shots]
    assert {item.dimension for item in asked(shots)} == {SHOT_SIZE.slug}


def test_a_policy_of_one_option_is_refused() -> None:
    with pytest.raises(ValueError, match="options"):
        QuestionPolicy(options=1)
