"""How much the model has learned: reasoned answers to questions on films it has not seen, by dimension.

A quick check while training: the sentence that a thought begins with is given, the term and its letter are the model's.
Scores to report come from `shotbench eval`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch

from lmms_eval_shotbench.prompts import opening
from lmms_eval_shotbench.qwen.rope_positions import PositionRule
from verl_recipes.tiny_base.architecture import LETTERS
from verl_recipes.tiny_base.curriculum import media_of
from verl_recipes.tiny_base.exercises import Wording
from verl_recipes.tiny_base.forward import Reader
from verl_recipes.tiny_base.shots import Shot

LONGEST = 6  # tokens of a label and its letter
ROWS = 64


def accuracy(reader: Reader, wording: Wording, shots: Sequence[Shot], rule: PositionRule) -> dict[str, float]:
    """Share of right letters by dimension."""
    groups: dict[tuple[str, int], list[Shot]] = defaultdict(list)
    for shot in shots:
        groups[shot.item.dimension, len(shot.frames)].append(shot)
    right: dict[str, list[bool]] = defaultdict(list)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for (slug, _length), alike in groups.items():
            for start in range(0, len(alike), ROWS):
                right[slug] += _right(reader, wording, alike[start : start + ROWS], rule)
    return {slug: sum(marks) / len(marks) for slug, marks in right.items()}


def _right(reader: Reader, wording: Wording, shots: Sequence[Shot], rule: PositionRule) -> list[bool]:
    media = media_of(shots, rule)
    openings = (wording.ids(f"<think>{opening(shot.item.dimension)}") for shot in shots)
    texts = [wording.reasoning(shot.item).prompt + first for shot, first in zip(shots, openings, strict=True)]
    said: list[list[int]] = [[] for _ in shots]
    for _ in range(LONGEST):
        asked = [text + new for text, new in zip(texts, said, strict=True)]
        states, start = reader.hidden(asked, [0] * len(asked), media)
        ends = torch.tensor([start + len(text) - 1 for text in asked])
        chosen = reader.model.lm_head(states[torch.arange(len(asked)), ends]).argmax(-1).tolist()
        for new, token in zip(said, chosen, strict=True):
            new.append(token)
    letters = {wording.ids(f" ({letter}).")[0]: letter for letter in LETTERS}
    firsts = (next((letters[token] for token in new if token in letters), None) for new in said)
    return [first == shot.item.answer for first, shot in zip(firsts, shots, strict=True)]
