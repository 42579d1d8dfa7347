"""`shotbench train cot-sft`: see `methods.py`."""

from __future__ import annotations

from verl_recipes.commands.methods import training_command

app = training_command(
    "cot_sft",
    "Supervised fine-tuning on reasoning chains that end in the right answer (splits sft and dev of the data, "
    "with the column reasoning).",
    "shards/studio",
)
