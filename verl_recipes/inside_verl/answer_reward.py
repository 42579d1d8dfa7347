"""verl's entry to the reward: `reward.custom_reward_function.path=pkg://verl_recipes.inside_verl.answer_reward`.

An adapter: what is rewarded stands in `reward.py`. verl can load this file by its path as well, outside of any
package, so there are no classes here and every import is absolute.
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
    """Reward one response; weights come from `reward.custom_reward_function.reward_kwargs` and are `RewardWeights`."""
    return score_response(item_of(extra_info, ground_truth), solution_str, reward_weights(**weights))
