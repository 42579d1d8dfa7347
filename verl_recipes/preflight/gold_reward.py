"""Check the reward function before training: the correct answer of every row must get the full reward.

A reward function that raises an error does not stop verl 0.9: verl drops the sample with a log message and trains on
the rest of its group. So the correct answer of each row is scored once before the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from verl_recipes.preflight.problem import Problem
from verl_recipes.preflight.training_files import TrainingRow

if TYPE_CHECKING:
    from omegaconf import DictConfig

OURS = "verl_recipes.inside_verl.answer_reward"
NAMES = (OURS, "verl_recipes.answer_reward")  # the second is the name in version 0.1; removed in version 0.3
CHOOSE_OURS = f"Set reward.custom_reward_function.path=pkg://{OURS}"


def reward_problems(config: DictConfig, rows: Iterable[TrainingRow]) -> Iterator[Problem]:
    """Yield problems of the configured reward; if it is ours, also of each row, by scoring its correct answer."""
    from verl_recipes.reward import KEYS, RewardRefused, check_row

    chosen = config.reward.custom_reward_function
    if not chosen.get("path"):
        what = "verl's default reward knows none of our data sources; every sample would be dropped silently"
        yield Problem(what, "reward.custom_reward_function.path", CHOOSE_OURS)
        return
    if config.reward.reward_model.get("enable"):
        what = "our reward takes no reward model; every sample would be dropped silently"
        yield Problem(what, "reward.reward_model.enable", "Set it to false")
    groups = config.algorithm.get("filter_groups") or {}
    if groups.get("enable") and groups.get("metric") not in (*KEYS, "reward"):
        what = f"{groups.get('metric')!r} is not a key of the reward; its keys are reward, {', '.join(KEYS)}"
        yield Problem(what, "algorithm.filter_groups.metric", "Choose one of them")
    if not is_ours(config):
        yield from _loadable(config)
        return
    weights: dict[str, Any] = dict(chosen.get("reward_kwargs") or {})
    for row in rows:
        try:
            check_row(row.columns, **weights)
        except RewardRefused as error:
            yield Problem(
                f"the reward refuses it: {error}", row.location, "Write the rows again, or correct the weights"
            )


def is_ours(config: DictConfig) -> bool:
    """Whether the configured reward is the one of this package."""
    path = str(config.reward.custom_reward_function.get("path") or "")
    return any(path == f"pkg://{name}" or path.endswith(f"{name.replace('.', '/')}.py") for name in NAMES)


def _loadable(config: DictConfig) -> Iterator[Problem]:
    from verl.trainer.ppo.reward import get_custom_reward_fn

    try:
        get_custom_reward_fn(config)
    except (ImportError, FileNotFoundError, RuntimeError, AttributeError, AssertionError, ValueError) as error:
        where = f"reward.custom_reward_function.path={config.reward.custom_reward_function.path}"
        yield Problem(f"the reward cannot be loaded: {error}", where, f"Fix it. {CHOOSE_OURS} for ours")


def notes(config: DictConfig) -> Iterator[str]:
    """Yield notes on the reward: whether it was tested, and whether its weights cause rounding errors."""
    from verl_recipes.reward import RewardRefused, reward_weights

    chosen = config.reward.custom_reward_function
    if not is_ours(config):
        yield f"reward: {chosen.get('path')} is not ours and was not tested on the rows"
        return
    try:
        weights = reward_weights(**dict(chosen.get("reward_kwargs") or {}))
    except (RewardRefused, TypeError):
        return  # reported as a problem of the rows
    if not weights.exact:
        yield "reward: weights that are not multiples of 1/64 give equal answers a small nonzero advantage"
