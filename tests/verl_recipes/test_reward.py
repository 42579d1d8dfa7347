"""The reward of attacks and of arbitrary text, and its agreement with the evaluation's grader."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.prompts import REASONING, STEP_BY_STEP, user_text
from lmms_eval_shotbench.qa_item import QAItem
from tests.support.items import make_item
from tests.support.real_data import stored_responses
from tests.support.reward_attacks import ATTACKS, MOVES, SIZES, Attack, block
from tests.support.rewarded_rows import PAPER, reward_by_verl, row_of
from verl_recipes.reward import KEYS, RewardWeights, check_row, score_response

TAGS = st.sampled_from(
    ["<think>", "</think>", "<answer>", "</answer>", "<answer", "C", " ", "D.", "not ", "A", "Close up"]
)
TEXTS = st.one_of(
    st.text(), st.lists(TAGS, max_size=12).map("".join), st.lists(st.one_of(TAGS, st.text())).map("".join)
)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_gets_its_expected_reward(attack: Attack) -> None:
    assert reward_by_verl(attack.item, attack.response) == pytest.approx(attack.right), attack.why


def test_there_are_at_least_40_attacks_with_unique_names() -> None:
    names = [attack.name for attack in ATTACKS]
    assert len(names) == len(set(names)) >= 40


@pytest.mark.slow
@given(TEXTS)
def test_any_text_gets_one_of_the_allowed_rewards_under_the_same_keys(response: str) -> None:
    earned = reward_by_verl(SIZES, response)
    assert tuple(earned) == KEYS
    assert earned["score"] in {0.0, 0.5, 1.5}
    assert {earned["acc"], earned["format"], earned["answered"]} <= {0.0, 1.0}
    assert all(type(value) is float for value in earned.values())
    assert (earned["score"] == 1.5) == bool(earned["acc"] and earned["format"])


@pytest.mark.slow
@given(TEXTS)
def test_no_text_is_correct_for_two_letters(response: str) -> None:
    """So hedging cannot be worth more than naming one letter."""
    for weights in (RewardWeights(), PAPER):
        right = [score_response(replace(SIZES, answer=letter), response, weights)["acc"] for letter in SIZES.letters]
        assert sum(right) <= 1


@pytest.mark.parametrize("response", [None, 3, b"<think>x</think><answer>C</answer>", ["C"], math.nan])
def test_a_response_that_is_not_text_gets_zero_under_the_same_keys(response: object) -> None:
    assert reward_by_verl(SIZES, response) == dict.fromkeys(KEYS, 0.0)


@pytest.mark.slow
@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize(
    "piece",
    [
        "<think>",
        "</answer>",
        "<answer>C</answer>",
        "<think>x</think><answer>C</answer>",
        "C or ",
        "not ",
        "\n",
        "<",
        " A",
    ],
)
def test_time_is_linear_in_the_length(piece: str) -> None:
    """Ten times the text may take about ten times as long; quadratic time would be a hundred times."""

    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        begin = time.process_time()
        reward_by_verl(SIZES, block("C", text))
        reward_by_verl(SIZES, block(text))
        return time.process_time() - begin

    seconds(1000)
    small = min(seconds(50_000) for _ in range(3))
    assert seconds(500_000) < 25 * max(small, 0.005)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("questions", "name"),
    [
        ("real_items", "shotbench.shotvl-3b.reasoning"),
        ("real_items", "shotbench.qwen2.5-vl-3b.direct"),
        ("refined_items", "refineshot.qwen2.5-vl-3b.step_by_step"),
        ("refined_items", "refineshot.shotvl-3b.reasoning"),
    ],
)
def test_the_reward_of_real_responses_agrees_with_the_evaluation(
    questions: str, name: str, real_data: Path, request: pytest.FixtureRequest
) -> None:
    items: dict[int, QAItem] = request.getfixturevalue(questions)
    for row in stored_responses(real_data, name):
        item, response = items[int(str(row["index"]))], str(row["response"])
        read = grade(item, response)
        earned = reward_by_verl(item, response)
        assert (earned["acc"], earned["format"]) == (read.correct, read.well_formed)
        assert earned["score"] == 0.5 * read.well_formed + 1.0 * (read.well_formed and read.correct)


@pytest.mark.slow
def test_the_correct_answer_of_every_real_question_gets_the_full_reward(real_items: dict[int, QAItem]) -> None:
    for item in real_items.values():
        check_row(row_of(item))
        for style in (REASONING, STEP_BY_STEP):
            for letter in item.letters:
                earned = score_response(item, style.well_formed(letter))
                assert earned["score"] == (1.5 if letter == item.answer else 0.5)


def test_a_part_of_a_compound_answer_is_rewarded_only_if_weighted() -> None:
    earned = [reward_by_verl(MOVES, block(letter), compound=0.5)["score"] for letter in "ABCD"]
    assert earned == pytest.approx([0.75, 0.5 + 0.5 / 3, 0.5 + 1 / 3, 1.5])
    assert reward_by_verl(MOVES, "A", compound=0.5)["score"] == 0.0  # not without the format either
    weather = make_item(("Daylight, Sunny", "Daylight, Overcast", "Sunny", "Moonlight"), "A", "lighting_type")
    assert [reward_by_verl(weather, block(letter))["shared"] for letter in "BCD"] == pytest.approx([1 / 3, 1 / 2, 0])
    assert reward_by_verl(replace(SIZES, options=("yes", "no"), answer="A"), block("B"))["shared"] == 0.0


def test_the_prompt_requests_the_format_that_is_rewarded() -> None:
    assert "<think> </think> and <answer> </answer>" in REASONING.system
    assert reward_by_verl(SIZES, user_text(SIZES) + REASONING.well_formed("C"))["score"] == 0.0
