"""Rows and weights of the reward: invalid ones, those of the recipes, and how verl loads the reward function."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest

from tests.support import REPOSITORY
from tests.support.items import make_item
from tests.support.reward_attacks import SIZES, block
from tests.support.rewarded_rows import PAPER, reward_by_verl, row_of
from verl_recipes.inside_verl.answer_reward import compute_score
from verl_recipes.reward import RewardRefused, RewardWeights, check_row, item_of, reward_weights

ITEM = SIZES.to_row()


def test_the_papers_reward_is_a_plain_sum() -> None:
    weights = {"format": 1, "accuracy": 1, "accuracy_needs_format": False}
    assert reward_by_verl(SIZES, block("C"), **weights)["score"] == 2.0
    assert reward_by_verl(SIZES, block("B"), **weights)["score"] == 1.0
    assert reward_by_verl(SIZES, "C", **weights)["score"] == 1.0
    assert reward_by_verl(SIZES, "B", **weights)["score"] == 0.0


@pytest.mark.parametrize(("name", "weights"), [("ours", RewardWeights()), ("paper", PAPER)])
def test_recipes_have_both_sets_of_weights(name: str, weights: RewardWeights) -> None:
    yaml = pytest.importorskip("yaml")
    text = (REPOSITORY / "verl_recipes" / "config" / "answer_reward" / f"{name}.yaml").read_text()
    given_weights = yaml.safe_load(text)["reward"]["custom_reward_function"]["reward_kwargs"]
    assert reward_weights(**given_weights) == weights


def test_equal_rewards_have_no_advantage_under_the_default_weights() -> None:
    torch = pytest.importorskip("torch")
    assert RewardWeights().exact and PAPER.exact and not RewardWeights(format=0.1).exact
    for score in (0.0, 0.5, 1.5):
        group = torch.full((12,), score)
        assert (group - group.mean()).abs().max() == 0.0
    assert (torch.full((12,), 1.1) - torch.full((12,), 1.1).mean()).abs().max() > 0  # the case that `exact` excludes


@pytest.mark.parametrize(
    ("extra_info", "ground_truth", "message"),
    [
        (None, "C", r"no question in extra_info.item.*write rows with"),
        ({}, "C", "no question in extra_info.item"),
        ({"item": None}, "C", "no question in extra_info.item"),
        ({"item": "{"}, "C", "is not a question"),
        ({"item": "[]"}, "C", "is not a question"),
        ({"item": "[" * 100_000}, "C", "is not a question"),
        ({"item": json.dumps(ITEM | {"answer": "Q"})}, "Q", "answer is 'Q', expected one of the letters A, B, C, D"),
        ({"item": json.dumps(ITEM | {"options": 4})}, "C", "is not a question"),
        ({"item": json.dumps(ITEM | {"dimension": "mood"})}, "C", "'mood' is no dimension"),
        ({"item": json.dumps({key: ITEM[key] for key in ("item_id", "answer")})}, "C", "columns"),
        ({"item": json.dumps(ITEM)}, "B", "ground_truth is 'B', the answer of its question is 'C'"),
        ({"item": json.dumps(ITEM)}, None, "ground_truth is None"),
    ],
)
def test_a_bad_question_is_refused(extra_info: Any, ground_truth: Any, message: str) -> None:
    for response in ("", block("C")):
        with pytest.raises(RewardRefused, match=message):
            compute_score("shots/shot_size", response, ground_truth, extra_info)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            {"formt": 1.0},
            "'formt' is not a reward weight; the weights are format, accuracy, compound, accuracy_needs_format",
        ),
        ({"format": "0.5"}, "format is '0.5'"),
        ({"format": -1.0}, "format is -1.0"),
        ({"format": math.nan}, "format is nan"),
        ({"accuracy": math.inf}, "accuracy is inf"),
        ({"accuracy": 0.0}, "worth more than a part"),
        ({"compound": 1.0}, "worth more than a part"),
        ({"accuracy_needs_format": "no"}, "use true or false"),
    ],
)
def test_bad_weights_are_refused(weights: dict[str, Any], message: str) -> None:
    with pytest.raises(RewardRefused, match=message):
        check_row(row_of(SIZES), **weights)
    with pytest.raises(RewardRefused, match=message):
        reward_by_verl(SIZES, "", **weights)


def test_a_row_whose_correct_answer_gets_too_little_is_refused() -> None:
    twins = make_item(("Wide", "Wide", "Close up", "Medium"), "A")
    check_row(row_of(twins))  # their letters differ
    with pytest.raises(RewardRefused, match="no question"):
        check_row(row_of(SIZES, extra_info={"index": 3}))


def test_the_same_question_is_parsed_once() -> None:
    row = row_of(make_item(media="image/once.jpg"))
    assert item_of(row["extra_info"], "C") is item_of(dict(row["extra_info"]), "C")


def test_the_reward_imports_neither_verl_nor_torch() -> None:
    heavy = "{'torch', 'verl', 'ray', 'numpy'}"
    code = f"import sys, verl_recipes.inside_verl.answer_reward; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert run.stdout.strip() == "[]"


@pytest.mark.verl
@pytest.mark.parametrize(
    "path",
    ["pkg://verl_recipes.inside_verl.answer_reward", str(REPOSITORY / "verl_recipes/inside_verl/answer_reward.py")],
)
def test_verl_loads_the_reward_by_module_and_by_path(path: str) -> None:
    pytest.importorskip("verl")
    from omegaconf import OmegaConf
    from verl.trainer.ppo.reward import get_custom_reward_fn

    chosen = {"path": path, "name": "compute_score", "reward_kwargs": {"format": 1, "accuracy_needs_format": False}}
    ask = get_custom_reward_fn(OmegaConf.create({"reward": {"custom_reward_function": chosen}}))
    row = row_of(SIZES)
    earned = ask(data_source=row["data_source"], solution_str="C", ground_truth="C", extra_info=row["extra_info"])
    assert earned == {"score": 1.0, "acc": 1.0, "format": 0.0, "answered": 1.0, "shared": 0.0}
