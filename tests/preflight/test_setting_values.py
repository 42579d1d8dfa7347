"""Values of the wrong type or out of range are named, each in one line, for every setting of every recipe."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

pytestmark = pytest.mark.verl
pytest.importorskip("verl")

from omegaconf import DictConfig, OmegaConf

from verl_recipes import recipes
from verl_recipes.preflight.setting_values import MISSING, setting_problems

RECIPES = [(method, recipe) for method in recipes.METHODS for recipe in recipes.recipe_names(method)]
METHODS = ["sft", "grpo"]  # cot_sft has the keys of sft


@cache
def composed(method: str, recipe: str = recipes.REFERENCE) -> DictConfig:
    return recipes.compose(method, recipe)


def leaves(config: DictConfig, path: str = "") -> Iterator[tuple[DictConfig, str, str, Any]]:
    """Section, name, key and value of every value that is not taken from another key."""
    for name in config:
        node = config._get_node(name)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation() and len(node):
            yield from leaves(node, f"{path}{name}.")
        elif not OmegaConf.is_interpolation(config, name) and not OmegaConf.is_missing(config, name):
            yield config, str(name), f"{path}{name}", config[name]


def problems_of_all(method: str, wrong: Any, *, of: tuple[type, ...]) -> tuple[set[str], dict[str, str]]:
    """Keys of these types, all set to `wrong`, and the line of each key that is reported."""
    config, keys = composed(method).copy(), set()
    for section, name, key, usual in list(leaves(config)):
        kind = type(OmegaConf.to_container(usual) if OmegaConf.is_config(usual) else usual)
        if kind in of:
            keys.add(key)
            section[name] = wrong
    lines = [str(problem) for problem in setting_problems(config, composed(method))]
    assert not any("\n" in line for line in lines)
    return keys, {line.partition("=")[0].partition(":")[0]: line for line in lines}


@pytest.mark.parametrize(("method", "recipe"), RECIPES)
def test_the_recipes_have_no_wrong_value(method: str, recipe: str) -> None:
    assert not setting_problems(composed(method, recipe), composed(method))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("wrong", "of"),
    [
        ("eight", (bool, int, float, list)),
        ("8", (bool, int, float, list)),
        ("", (bool, int, float, list)),
        (-7, (bool, int, float, str, list)),
        (2.5, (bool, str, list)),
        (math.nan, (bool, int, float, str, list)),
        (math.inf, (bool, int, float, str, list)),
        (True, (int, float, str, list)),
        ({"a": 1}, (bool, int, float, str)),
        ([1], (bool, int, float, str)),
        ("${no.such.key}", (bool, int, float, str, list)),
    ],
    ids=str,
)
def test_every_value_of_a_wrong_type_is_named(method: str, wrong: Any, of: tuple[type, ...]) -> None:
    keys, lines = problems_of_all(method, wrong, of=of)
    signed = {key for key in keys if key.endswith(("entropy_coeff", "clip_cov_lb"))} if wrong == -7 else set()
    lists_or_text = (
        {key for key in keys if key.endswith(("logger", "target_modules"))} if isinstance(wrong, str) else set()
    )
    epochly = {key for key in keys if composed_value(method, key) == "after_each_epoch"} if wrong == 2.5 else set()
    assert keys - set(lines) <= signed | (lists_or_text if wrong not in ("", "${no.such.key}") else set()) | epochly
    assert len(keys) > 50


def composed_value(method: str, key: str) -> Any:
    return OmegaConf.select(composed(method), key)


@pytest.mark.parametrize("method", METHODS)
def test_null_is_named_where_a_value_is_needed(method: str) -> None:
    keys, lines = problems_of_all(method, None, of=(bool, int, float, str))
    needed = {"trainer.nnodes", "trainer.save_freq", "data.train_batch_size", "trainer.total_epochs", "trainer.device"}
    assert needed <= set(lines) <= keys
    for optional in ("trainer.max_nonfinite_steps", "data.custom_cls.path"):
        assert optional in keys - set(lines)
    assert all("not null" in line or "must be" in line for line in lines.values())


EXAMPLES = [
    (
        "grpo",
        "data.train_batch_size",
        "eight",
        "data.train_batch_size='eight': it must be a whole number of 1 or more.",
    ),
    ("grpo", "data.train_batch_size", 0, "data.train_batch_size=0: it must be a whole number of 1 or more."),
    ("sft", "data.micro_batch_size_per_gpu", -2, "=-2: it must be a whole number of 1 or more."),
    ("sft", "optim.lr", "1e-5x", "optim.lr='1e-5x': it must be a number of 0 or more."),
    ("sft", "optim.betas", [0.9], "optim.betas=[0.9]: it must be a list of 2 numbers."),
    ("sft", "trainer.save_freq", 0, "it must be a whole number of 1 or more or -1 for never or after_each_epoch."),
    ("grpo", "trainer.save_freq", "after_each_epoch", "it must be a whole number of 1 or more or -1 for never."),
    ("grpo", "trainer.total_training_steps", "ten", "it must be a whole number of 1 or more."),
    ("grpo", "actor_rollout_ref.rollout.temperature", -0.5, "it must be a number of 0 or more."),
    ("grpo", "actor_rollout_ref.rollout.gpu_memory_utilization", 1.5, "it must be a number from 0 to 1."),
    ("grpo", "trainer.val_before_train", "yes", "it must be true or false."),
    ("grpo", "trainer.default_local_dir", "", "it must be text that is not empty."),
    ("grpo", "actor_rollout_ref.model", 3, "it must be a section of keys."),
    ("grpo", "actor_rollout_ref.model.path", ["a", "b"], "it must be text."),
    ("sft", "data.train_files", 3, "it must be text"),
    ("grpo", "data.seed", "${trainer.device}", "data.seed='cpu': it must be a whole number of 0 or more."),
]


@pytest.mark.parametrize(("method", "key", "value", "line"), EXAMPLES, ids=[f"{x[1]}={x[2]}" for x in EXAMPLES])
def test_a_wrong_value_is_reported_once_with_what_is_allowed(method: str, key: str, value: Any, line: str) -> None:
    config = composed(method).copy()
    OmegaConf.update(config, key, value, merge=False)
    (problem,) = setting_problems(config, composed(method))
    assert line in str(problem)
    assert str(problem).startswith(key)


def test_a_removed_key_is_named() -> None:
    config = recipes.compose("sft", "tiny", ["~trainer.device", "~optim.lr"])
    lines = [str(problem) for problem in setting_problems(config, composed("sft"))]
    assert lines == [
        "optim.lr: it is missing, and verl reads it. Leave out ~optim.lr",
        "trainer.device: it is missing, and verl reads it. Leave out ~trainer.device",
    ]


ALLOWED = [
    ("trainer.save_freq", -1),
    ("trainer.logger", "console"),
    ("trainer.max_nonfinite_steps", 0),
    ("trainer.max_nonfinite_steps", None),
    ("trainer.rollout_timeout_s", 0.5),
    ("data.seed", 0),
    ("actor_rollout_ref.rollout.temperature", 0.7),
    ("actor_rollout_ref.rollout.val_kwargs.temperature", 0.7),
    ("actor_rollout_ref.rollout.top_k", 50),
    ("actor_rollout_ref.actor.entropy_coeff", -0.001),
    ("actor_rollout_ref.actor.optim.lr", 1),
    ("trainer.max_actor_ckpt_to_keep", None),
    ("trainer.total_training_steps", 5),
    ("actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu", 4),
    ("actor_rollout_ref.model.target_modules", ["q_proj"]),
    ("reward.custom_reward_function.path", None),
]


@pytest.mark.parametrize(("key", "value"), ALLOWED, ids=str)
def test_what_verl_accepts_is_accepted(key: str, value: Any) -> None:
    config = composed("grpo").copy()
    OmegaConf.update(config, key, value, merge=False)
    assert not setting_problems(config, composed("grpo"))


def test_a_value_that_others_follow_is_reported_once() -> None:
    config = composed("grpo").copy()
    config.data.max_prompt_length = "long"
    assert config.actor_rollout_ref.rollout.prompt_length == "long"
    assert len(setting_problems(config, composed("grpo"))) == 1
    assert OmegaConf.to_container(OmegaConf.create({"name": "???"}))["name"] == MISSING  # type: ignore[index, call-overload]
