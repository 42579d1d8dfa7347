"""The curriculum of the tiny base model: its phases, and the exercises and pictures of each step.

The kinds of exercises are explained in `exercises.py`. Binding is trained first and alone, because it was never learned
when mixed with other exercises from the start. Then naming is trained, on stills and clips, with some binding
exercises, half of them with a picture, so that binding is not forgotten. That is the base model. Supervised fine-tuning
on complete answers comes next: by the recipe `cot_sft`, or by the phase `FINISHING` without verl.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

import torch

from lmms_eval_shotbench.qwen.rope_positions import PositionRule
from lmms_eval_shotbench.vocabulary import MediaKind
from verl_recipes.tiny_base.exercises import Exercise, ExerciseMaker
from verl_recipes.tiny_base.forward import Media, times_of
from verl_recipes.tiny_base.shots import Shot, mirrored, time_reversed


class Practice(StrEnum):
    """Kinds of exercises; all exercises of a training step are of one kind."""

    BINDING = "binding"
    BINDING_SEEN = "binding beside a picture"  # a random picture, unrelated to the question
    STILLS = "stills"  # naming
    CLIPS = "clips"
    REASONED_STILLS = "reasoned stills"
    REASONED_CLIPS = "reasoned clips"


@dataclass(frozen=True)
class Phase:
    """A phase of training: `steps` steps, the kind of each drawn with the probabilities `shares`."""

    steps: int
    shares: Mapping[Practice, float]
    pairs: int = 5  # number of pairs of frames per clip, drawn at random; 0 for all, as in the evaluation


BINDING = Phase(300, {Practice.BINDING: 1.0})
NAMING = Phase(
    4200,
    {Practice.STILLS: 0.46, Practice.CLIPS: 0.38, Practice.BINDING: 0.08, Practice.BINDING_SEEN: 0.08},
)
FINISHING = Phase(
    900,
    {
        Practice.STILLS: 0.2,
        Practice.CLIPS: 0.22,
        Practice.REASONED_STILLS: 0.28,
        Practice.REASONED_CLIPS: 0.25,
        Practice.BINDING: 0.05,
    },
    pairs=7,
)
BATCH = {  # exercises per step
    Practice.BINDING: 64,
    Practice.BINDING_SEEN: 32,
    Practice.STILLS: 64,
    Practice.CLIPS: 32,
    Practice.REASONED_STILLS: 48,
    Practice.REASONED_CLIPS: 32,
}


class UnevenPictures(ValueError):
    """Resized stills or clips have different sizes and cannot be stacked into one batch."""


class ExerciseSampler:
    """Draws the exercises of each step."""

    def __init__(self, shots: Sequence[Shot], exercise_maker: ExerciseMaker, rule: PositionRule, draw: Random) -> None:
        if len(sizes := {tuple(shot.frames.shape[-2:]) for shot in shots}) > 1:
            raise UnevenPictures(
                f"pictures of one shape are required, such as 16:9; these are resized to {sorted(sizes)}"
            )
        self._maker, self._rule, self._draw = exercise_maker, rule, draw
        self._items = [shot.item for shot in shots]
        self._by_dimension: dict[str, list[Shot]] = {}
        self._stills = [shot for shot in shots if shot.item.media_kind is MediaKind.STILL]
        self._all_clips = [shot for shot in shots if shot.item.media_kind is MediaKind.CLIP]
        for shot in self._stills:  # all dimensions are equally likely, however many shots they have
            self._by_dimension.setdefault(shot.item.dimension, []).append(shot)
        self._clips: dict[int, list[Shot]] = {}  # by number of frames
        for shot in self._all_clips:
            self._clips.setdefault(len(shot.frames), []).append(shot)

    def step(self, practice: Practice, pairs: int) -> tuple[list[Exercise], Media | None]:
        """A batch of exercises of one kind, and their media; `pairs` as in `Phase`."""
        size = BATCH[practice]
        if practice is Practice.BINDING:
            return [self._maker.binding(self._maker.random_question(self._items)) for _ in range(size)], None
        if practice is Practice.BINDING_SEEN:
            return self._binding_with_media(size, pairs)
        if practice in (Practice.STILLS, Practice.REASONED_STILLS):
            slugs = self._draw.choices(list(self._by_dimension), k=size)
            shots = [self._augmented(self._draw.choice(self._by_dimension[slug])) for slug in slugs]
        else:
            shots = [self._augmented(shot) for shot in self._drawn_clips(size, pairs)]
        named = practice in (Practice.STILLS, Practice.CLIPS)
        exercises = [
            self._maker.naming(shot.item) if named else self._maker.reasoning(self._maker.with_new_options(shot.item))
            for shot in shots
        ]
        return exercises, media_of(shots, self._rule, pairs, self._draw)

    def _binding_with_media(self, size: int, pairs: int) -> tuple[list[Exercise], Media]:
        shots = self._draw.choice((self._stills, self._all_clips))
        shown, questioned = (self._draw.choices(shots, k=size) for _ in range(2))
        exercises = [self._maker.binding(self._maker.random_question([shot.item])) for shot in questioned]
        return exercises, media_of(shown, self._rule, pairs, self._draw)

    def _drawn_clips(self, size: int, pairs: int) -> list[Shot]:
        """Random clips; if all of their frames are shown, clips of one length."""
        if pairs:
            return self._draw.choices(self._all_clips, k=size)
        length = self._draw.choices(list(self._clips), [len(clips) for clips in self._clips.values()])[0]
        return self._draw.choices(self._clips[length], k=size)

    def _augmented(self, shot: Shot) -> Shot:
        """The shot, mirrored and reversed at random."""
        if self._draw.random() < 0.5:
            shot = mirrored(shot)
        if shot.item.media_kind is MediaKind.CLIP and self._draw.random() < 0.5:
            shot = time_reversed(shot) or shot
        return shot


def media_of(shots: Sequence[Shot], rule: PositionRule, pairs: int = 0, draw: Random | None = None) -> Media:
    """Stack the media of shots, which must be all stills or all clips.

    Args:
        shots: Shots whose frames have one size; clips must also have one length if all of their pairs are used.
        rule: Position rule of the model, for the time positions.
        pairs: Number of pairs of frames to draw from each clip; 0 for all.
        draw: Random generator for the draw; None for all pairs.
    """
    if shots[0].item.media_kind is MediaKind.STILL:  # one frame, repeated
        frames = torch.stack([shot.frames for shot in shots])[:, None].expand(-1, -1, 2, -1, -1, -1)
        return Media(frames, torch.zeros((len(shots), 1), dtype=torch.long))
    chosen, times = [], []
    for shot in shots:
        all_pairs, when = shot.frames.unflatten(0, (-1, 2)), times_of(len(shot.frames), shot.fps, rule)
        indices = _drawn_indices(len(all_pairs), pairs, draw) if draw and pairs else list(range(len(all_pairs)))
        chosen.append(all_pairs[indices])
        times.append(when[indices])
    return Media(torch.stack(chosen), torch.stack(times))


def _drawn_indices(length: int, count: int, draw: Random) -> list[int]:
    """`count` random indices in order; distinct, unless `length` is smaller."""
    return sorted(draw.sample(range(length), count) if length >= count else draw.choices(range(length), k=count))
