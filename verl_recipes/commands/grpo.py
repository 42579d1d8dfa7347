"""`shotbench train grpo`: see `methods.py`."""

from __future__ import annotations

from verl_recipes.commands.methods import training_command

app = training_command(
    "grpo",
    "Reinforcement learning with GRPO: a reward for right and well-formed answers (split grpo of the data).",
    "shards/shotqa --model runs/sft",
)
