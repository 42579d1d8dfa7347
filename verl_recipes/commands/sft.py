"""`shotbench train sft`: see `methods.py`."""

from __future__ import annotations

from verl_recipes.commands.methods import training_command

app = training_command(
    "sft",
    "Supervised fine-tuning on right answers without reasoning (split sft of the data).",
    "shards/shotqa",
)
