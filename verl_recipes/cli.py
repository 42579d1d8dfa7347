"""`shotbench train …`: the commands of training, in `commands/`."""

from __future__ import annotations

from lmms_eval_shotbench.commands.groups import CommandEntry, lazy_group

TRAIN, AFTER, TOOLS = "Train", "After training", "Tools"

app = lazy_group(
    "Train models on question shards with verl.",
    [
        CommandEntry(name, summary, f"verl_recipes.commands.{module}", panel)
        for panel, name, module, summary in (
            (TRAIN, "sft", "sft", "Supervised fine-tuning on right answers without reasoning."),
            (TRAIN, "cot-sft", "cot_sft", "Supervised fine-tuning on reasoning chains that end in the right answer."),
            (TRAIN, "grpo", "grpo", "Reinforcement learning (GRPO), with a reward for right and well-formed answers."),
            (TRAIN, "ablation", "ablation", "Repeat the paper's ablation: train its combinations and score each."),
            (TRAIN, "watch", "watch", "Show the last figures and responses of a run while it trains."),
            (AFTER, "merge", "merge", "Write the model folder of a run's checkpoint."),
            (AFTER, "evaluate", "evaluate", "Score a run's newest checkpoint, or a model, on a test split."),
            (TOOLS, "rows", "rows", "Write a split of shards as the rows that verl trains on."),
            (TOOLS, "tiny-base", "tiny_base", "Train the tiny base model from random weights, on one CPU core."),
        )
    ],
    panel="Make data and train",
)
