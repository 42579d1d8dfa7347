"""Accuracy by dimension on held-out films: fast checks during training.

Questions with options are asked in the reasoning style: the beginning of the thought is given, and the model generates
only the term and its letter. Shots whose truth is known in every dimension are labelled as by `shotbench label`, but in
one view: the most probable of all terms and "none" counts. Reported scores come from `shotbench eval` and
`shotbench label score`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from lmms_eval_shotbench.labelling.truth import ShotTruth
from lmms_eval_shotbench.labelling.vote import NO_TERM
from lmms_eval_shotbench.prompts import opening
from lmms_eval_shotbench.qwen.rope_positions import PositionRule
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, MediaKind
from verl_recipes.tiny_base.architecture import LETTERS
from verl_recipes.tiny_base.cell_sampler import answers
from verl_recipes.tiny_base.exercises import ExerciseMaker
from verl_recipes.tiny_base.forward import FastModel
from verl_recipes.tiny_base.media_batches import stack_media
from verl_recipes.tiny_base.shots import Shot
from verl_recipes.tiny_base.whole_shots import ShotFrames, WholeShot

LONGEST = 6  # maximum number of tokens of a label and its letter
BATCH_SIZE = 64


@dataclass(frozen=True)
class HeldOutScores:
    """Shares (0 to 1) on held-out films, by dimension slug."""

    answers: Mapping[str, float]  # of correct letters
    labels: Mapping[str, float] = field(default_factory=dict)  # of right labels, "none" included
    labels_on_none: Mapping[str, float] = field(default_factory=dict)  # of shots without a term that get one

    def __str__(self) -> str:
        """One line: of each measure the mean, then each dimension."""
        named = {
            "correct answers": self.answers,
            "right labels": self.labels,
            "labels where there is none": self.labels_on_none,
        }
        return (
            "; ".join(f"{name} {_format(shares)}" for name, shares in named.items() if shares) or "none to measure on"
        )


def _format(shares: Mapping[str, float]) -> str:
    mean = sum(shares.values()) / len(shares)
    return f"{mean:.3f} ({', '.join(f'{slug} {share:.2f}' for slug, share in shares.items())})"


def held_out_accuracy(
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
    media = stack_media(shots, rule)
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


def label_scores(
    fast_model: FastModel, exercise_maker: ExerciseMaker, shots: Sequence[WholeShot], rule: PositionRule
) -> tuple[dict[str, float], dict[str, float]]:
    """Share of right labels where the truth is known, and share of shots without a term that get one, by dimension."""
    right, on_none = dict[str, float](), dict[str, float]()
    for dimension in DIMENSIONS:
        kind = dimension.media_kind
        known = [
            (shot.key_frames(kind), truth)
            for shot in shots
            if (shot.clip or kind is MediaKind.STILL) and answers(truth := shot.truths[dimension.slug], dimension)
        ]
        named = _named(fast_model, exercise_maker, dimension, known, rule)
        if named:
            right[dimension.slug] = sum(name in answers(truth, dimension) for name, truth in named) / len(named)
        if of_none := [name for name, truth in named if answers(truth, dimension) == [NO_TERM]]:
            on_none[dimension.slug] = sum(name != NO_TERM for name in of_none) / len(of_none)
    return right, on_none


def _named(
    fast_model: FastModel,
    exercise_maker: ExerciseMaker,
    dimension: Dimension,
    known: Sequence[tuple[ShotFrames, ShotTruth]],
    rule: PositionRule,
) -> list[tuple[str, ShotTruth]]:
    """The most probable name of each medium with its truth, in groups of one length."""
    names = [*(term.name for term in dimension.terms), NO_TERM]
    tokens = torch.tensor([exercise_maker.ids(f" {name}")[0] for name in names])
    exercise = exercise_maker.naming_of(dimension)
    by_length: dict[int, list[tuple[ShotFrames, ShotTruth]]] = defaultdict(list)
    for shown, truth in known:
        by_length[len(shown.frames)].append((shown, truth))
    found: list[tuple[str, ShotTruth]] = []
    for group in by_length.values():
        for first in range(0, len(group), BATCH_SIZE):
            batch = group[first : first + BATCH_SIZE]
            texts = [exercise.prompt + exercise.answer] * len(batch)
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                media = stack_media([shown for shown, _ in batch], rule)
                states, _ = fast_model.hidden(texts, [exercise.gap] * len(batch), media)
                best = fast_model.model.lm_head(states[:, -1])[:, tokens].argmax(-1)
            found += [(names[index], truth) for index, (_, truth) in zip(best.tolist(), batch, strict=True)]
    return found
