"""Metrics per dimension of a training step, from rows as verl's agent loop writes them."""

from __future__ import annotations

import logging
import math
from types import SimpleNamespace
from typing import Any

import pytest

from verl_recipes.inside_verl.dimension_metrics import Rollout, dimension_metrics, groups_with_signal


def rollout(group: str, dimension: str, right: float, tokens: int = 10, **rewards: object) -> Rollout:
    """One well-formed response; `right` is its accuracy reward."""
    keys = {"score": 0.5 + right, "acc": right, "format": 1.0} | rewards
    return Rollout(group, f"shots/{dimension}", 0.5 + right, tokens, keys)


STEP = [
    rollout("a", "shot_size", 1.0, tokens=20),
    rollout("a", "shot_size", 0.0, tokens=40),
    rollout("b", "shot_size", 1.0),
    rollout("b", "shot_size", 1.0),
    rollout("c", "camera_angle", 0.0),
]


def test_metrics_of_a_step_are_means_over_its_responses() -> None:
    assert dimension_metrics(STEP, requested=6) == pytest.approx(
        {
            "train/acc/shot_size": 3 / 4,
            "train/acc/camera_angle": 0.0,
            "train/acc/mean": 3 / 5,
            "train/format": 1.0,
            "train/score": 0.5 + 3 / 5,
            "train/response_length/shot_size": 20.0,
            "train/response_length/camera_angle": 10.0,
            "train/groups_with_signal": 1 / 3,
            "train/responses_lost": 1.0,
        }
    )


def test_a_group_has_a_signal_only_if_its_rewards_differ() -> None:
    assert groups_with_signal(STEP[:2]) == 1.0
    assert groups_with_signal(STEP[2:4]) == 0.0
    assert groups_with_signal(STEP[4:]) == 0.0  # nothing to compare with


def test_a_dimension_of_two_sources_is_one_metric() -> None:
    both = [STEP[0], STEP[0]._replace(data_source="studio/shot_size", rewards={"acc": 0.0})]
    assert dimension_metrics(both, 2)["train/acc/shot_size"] == 0.5


def test_a_step_without_responses_still_counts_the_lost_ones() -> None:
    assert dimension_metrics([], requested=48) == {"train/responses_lost": 48.0}


def test_only_numeric_keys_of_another_reward_are_logged() -> None:
    scores = [Rollout("a", "geo", 1.0, 5, {"pred": "B", "length": 3, "depth": None}), Rollout("a", "geo", 0.0, 5, {})]
    metrics = dimension_metrics(scores, 2)
    assert metrics["train/length"] == 3.0
    assert not {"train/pred", "train/depth", "train/acc/geo", "train/acc/mean"} & set(metrics)
    assert all(type(value) is float and math.isfinite(value) for value in metrics.values())


def agent_loop_rows() -> tuple[dict[str, dict[str, Any]], Any]:
    """Tags and fields of three responses, created by the function that verl's agent loop uses."""
    torch = pytest.importorskip("torch")
    from verl.utils.tensordict_utils import list_of_dict_to_tensordict

    tags, fields = {}, []
    for number, (group, length, right) in enumerate((("u-1", 3, 1.0), ("u-1", 5, 0.0), ("u-2", 4, 1.0))):
        scores = torch.zeros(length)
        scores[-1] = 0.5 + right
        tags[f"{group}_{number}_0"] = {"status": "success", "response_len": length}
        extra = {"reward_extra_info": {"score": 0.5 + right, "acc": right, "format": 1.0}, "min_global_steps": 1}
        fields.append({"rm_scores": scores, "data_source": "shots/lens_size", "extra_fields": extra})
    return tags, list_of_dict_to_tensordict(fields)


@pytest.mark.verl
def test_rows_of_verls_agent_loop_are_parsed() -> None:
    pytest.importorskip("verl")
    from verl_recipes.inside_verl.dimension_trainer import rollouts_from

    tags, fields = agent_loop_rows()
    rollouts = rollouts_from(tags, fields)
    assert [each.group for each in rollouts] == ["u-1", "u-1", "u-2"]
    assert [each.tokens for each in rollouts] == [3, 5, 4]
    metrics = dimension_metrics(rollouts, 4)
    assert metrics["train/acc/lens_size"] == pytest.approx(2 / 3)
    assert metrics["train/groups_with_signal"] == 0.5
    assert metrics["train/score"] == pytest.approx((1.5 + 0.5 + 1.5) / 3)


@pytest.fixture(scope="module")
def trainer() -> Any:
    """The trainer as verl creates it from the tiny recipe, before any worker starts."""
    pytest.importorskip("verl")
    from verl.trainer.ppo.v1 import get_trainer_cls

    from verl_recipes import recipes
    from verl_recipes.inside_verl.dimension_trainer import TRAINER_MODE, register

    register()
    register()  # a second call has no effect
    config = recipes.compose("grpo", "tiny", ["data.train_batch_size=4", "actor_rollout_ref.rollout.n=3"])
    assert config.trainer.v1.trainer_mode == TRAINER_MODE
    return get_trainer_cls(TRAINER_MODE)(config=config)


@pytest.mark.verl
def test_the_recipe_trains_synchronously_under_our_trainer(trainer: Any) -> None:
    from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

    assert trainer.trainer_mode == trainer.config.trainer.v1.trainer_mode == "sync"
    assert type(trainer.replay_buffer) is ReplayBuffer  # another mode would get the asynchronous one
    assert type(trainer).__mro__[1].__name__ == "PPOTrainerSync"


@pytest.mark.verl
def test_a_failing_metric_is_logged_once_and_does_not_end_the_run(
    trainer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    renamed = SimpleNamespace(keys=["u-1_0_0"])  # a batch without tags
    with caplog.at_level(logging.WARNING, "verl_recipes"):
        assert trainer._dimension_metrics(renamed) == {}
        assert trainer._dimension_metrics(renamed) == {}
    assert [record.getMessage() for record in caplog.records] == [
        "no metrics per dimension: AttributeError: 'types.SimpleNamespace' object has no attribute 'tags'"
    ]


@pytest.mark.verl
def test_missing_responses_are_counted_and_logged_once(trainer: Any, caplog: pytest.LogCaptureFixture) -> None:
    nobody = SimpleNamespace(keys=["pad_0_0"], tags=[{"is_padding": True}], partition_id="train")
    with caplog.at_level(logging.WARNING, "verl_recipes"):
        metrics = [trainer._dimension_metrics(nobody) for _ in range(2)]
    assert metrics == [{"train/responses_lost": 12.0}] * 2
    assert len(caplog.records) == 1 and "12 of 12 responses of a step are missing" in caplog.text
