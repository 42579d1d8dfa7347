"""Rows as verl passes them to the reward function."""

from __future__ import annotations

import json
from typing import Any

from lmms_eval_shotbench.qa_item import QAItem
from verl_recipes.inside_verl.answer_reward import compute_score
from verl_recipes.reward import RewardWeights

PAPER = RewardWeights(format=1.0, accuracy=1.0, accuracy_needs_format=False)


def row_of(item: QAItem, **changes: Any) -> dict[str, Any]:
    """A GRPO row as `training_rows` writes it."""
    row = {
        "data_source": f"{item.source}/{item.dimension}",
        "reward_model": {"style": "rule", "ground_truth": item.answer},
        "extra_info": {"index": 1, "split": "grpo", "item": json.dumps(item.to_row())},
    }
    return row | changes


def reward_by_verl(item: QAItem, response: Any, **weights: Any) -> dict[str, float]:
    """Reward a response with the arguments of verl's reward manager."""
    row = row_of(item)
    return compute_score(
        data_source=row["data_source"],
        solution_str=response,
        ground_truth=item.answer,
        extra_info=row["extra_info"] | {"num_turns": 2, "rollout_reward_scores": {}},
        **weights,
    )
