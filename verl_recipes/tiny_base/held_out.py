"""Accuracy by dimension on held-out films, in the reasoning style: a fast check during training.

The beginning of the thought is given, and the model generates only the term and its letter. Reported scores come from
`shotbench eval`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch

from lmms_eval_shotbench.prompts import opening
from lmms_eval_shotbench.qwen.rope_positions import PositionRule
from verl_recipes.tiny_base.architecture import LETTERS
from verl_recipes.tiny_base.curriculum import media_of
from verl_recipes.tiny_base.exercises import ExerciseMaker
from verl_recipes.tiny_base.forward import FastModel
from verl_recipes.tiny_base.shots import Shot

LONGEST = 6  # maximum number of tokens of a label and its letter
BATCH_SIZE = 64


def accuracy(
    fast_model: FastModel, exercise_maker: ExerciseMaker, shots: Sequence[Shot], rule: PositionRule
) -> dict[str, float]:
    """Share of correct letters (0 to 1) by dimension."""
    groups: dict[tuple[str, int], list[Shot]] = defaultdict(list)
    for shot in shots:
        groups[shot.item.dimension, len(shot.frames)].append(shot)
    correct: dict[str, list[bool]] = defaultdict(list)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for (slug, _length), group in groups.items():
            for start in range(0, len(group), BATCH_SIZE):
                correct[slug] += _correct(fast_model, exercise_maker, group[start : start + BATCH_SIZE], rule)
    return {slug: sum(marks) / len(marks) for slug, marks in correct.items()}


def _correct(
    fast_model: FastModel, exercise_maker: ExerciseMaker, shots: Sequence[Shot], rule: PositionRule
) -> list[bool]:
    media = media_of(shots, rule)
    openings = (exercise_maker.ids(f"<think>{opening(shot.item.dimension)}") for shot in shots)
    texts = [exercise_maker.reasoning(shot.item).prompt + first for shot, first in zip(shots, openings, strict=True)]
    generated: list[list[int]] = [[] for _ in shots]
    for _ in range(LONGEST):
        inputs = [text + new for text, new in zip(texts, generated, strict=True)]
        states, start = fast_model.hidden(inputs, [0] * len(inputs), media)
        ends = torch.tensor([start + len(text) - 1 for text in inputs])
        chosen = fast_model.model.lm_head(states[torch.arange(len(inputs)), ends]).argmax(-1).tolist()
        for new, token in zip(generated, chosen, strict=True):
            new.append(token)
    letters = {exercise_maker.ids(f" ({letter}).")[0]: letter for letter in LETTERS}
    firsts = (next((letters[token] for token in new if token in letters), None) for new in generated)
    return [first == shot.item.answer for first, shot in zip(firsts, shots, strict=True)]
