"""verl's entry to the reward: `reward.custom_reward_function.path=pkg://verl_recipes.inside_verl.answer_reward`.

An adapter: the reward itself is in `reward.py`. verl can also load this file by its path, outside of any package, so
there are no classes here and all imports are absolute.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verl_recipes.reward import item_of, reward_weights, score_response


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **weights: float,
) -> dict[str, float]:
    """Reward one response, with the parameters and keys that verl defines.

    Args:
        data_source: Unused.
        solution_str: The response.
        ground_truth: Letter of the correct option; must be the answer of the question in `extra_info`.
        extra_info: The row's column; `item` is the question as JSON.
        weights: Fields of `RewardWeights`, from verl's `reward_kwargs`.

    Returns:
        The keys `reward.KEYS`.
    """
    return score_response(item_of(extra_info, ground_truth), solution_str, reward_weights(**weights))
