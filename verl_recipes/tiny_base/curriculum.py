"""In which order the tiny base model practises, and which exercises and pictures a step takes.

Binding comes first and alone: mixed in from the start it was never learned. Then terms are named, of stills and of
clips, with some binding so that it is kept, also beside pictures. A base stops there; supervised fine-tuning on whole
answers follows. `FINISHING` does the same here, without verl.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

import torch

from lmms_eval_shotbench.qwen.rope_positions import PositionRule
from lmms_eval_shotbench.vocabulary import MediaKind
from verl_recipes.tiny_base.exercises import Exercise, Wording
from verl_recipes.tiny_base.forward import Media, times_of
from verl_recipes.tiny_base.shots import Shot, backwards, mirrored


class Practice(StrEnum):
    """Kinds of steps."""

    BINDING = "binding"
    BINDING_SEEN = "binding beside a picture"  # any picture: it has nothing to do with the question
    STILLS = "stills"  # naming
    CLIPS = "clips"
    REASONED_STILLS = "reasoned stills"
    REASONED_CLIPS = "reasoned clips"


@dataclass(frozen=True)
class Phase:
    """So many steps, each of a kind drawn by these shares."""

    steps: int
    shares: Mapping[Practice, float]
    pairs: int = 5  # of frames shown of a clip, drawn from all of it; 0: all, as in the evaluation


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
BATCH = {
    Practice.BINDING: 64,
    Practice.BINDING_SEEN: 32,
    Practice.STILLS: 64,
    Practice.CLIPS: 32,
    Practice.REASONED_STILLS: 48,
    Practice.REASONED_CLIPS: 32,
}


class UnevenPictures(ValueError):
    """Shots whose pictures would not fit into one batch."""


class Lessons:
    """Draws what a step practises."""

    def __init__(self, shots: Sequence[Shot], wording: Wording, rule: PositionRule, draw: Random) -> None:
        if len(sizes := {tuple(shot.frames.shape[-2:]) for shot in shots}) > 1:
            raise UnevenPictures(f"pictures of one shape are wanted, such as 16:9; these are shown as {sorted(sizes)}")
        self._wording, self._rule, self._draw = wording, rule, draw
        self._items = [shot.item for shot in shots]
        self._by_dimension: dict[str, list[Shot]] = {}
        self._stills = [shot for shot in shots if shot.item.media_kind is MediaKind.STILL]
        self._all_clips = [shot for shot in shots if shot.item.media_kind is MediaKind.CLIP]
        for shot in self._stills:  # dimensions are drawn alike, however many shots they have
            self._by_dimension.setdefault(shot.item.dimension, []).append(shot)
        self._clips: dict[int, list[Shot]] = {}  # by number of frames
        for shot in self._all_clips:
            self._clips.setdefault(len(shot.frames), []).append(shot)

    def step(self, practice: Practice, pairs: int) -> tuple[list[Exercise], Media | None]:
        """Exercises of a kind and their pictures."""
        many = BATCH[practice]
        if practice is Practice.BINDING:
            return [self._wording.binding(self._wording.any_question(self._items)) for _ in range(many)], None
        if practice is Practice.BINDING_SEEN:
            return self._binding_seen(many, pairs)
        if practice in (Practice.STILLS, Practice.REASONED_STILLS):
            slugs = self._draw.choices(list(self._by_dimension), k=many)
            shots = [self._turned(self._draw.choice(self._by_dimension[slug])) for slug in slugs]
        else:
            shots = [self._turned(shot) for shot in self._some_clips(many, pairs)]
        named = practice in (Practice.STILLS, Practice.CLIPS)
        asked = [
            self._wording.naming(shot.item) if named else self._wording.reasoning(self._wording.asked_anew(shot.item))
            for shot in shots
        ]
        return asked, media_of(shots, self._rule, pairs, self._draw)

    def _binding_seen(self, many: int, pairs: int) -> tuple[list[Exercise], Media]:
        shots = self._draw.choice((self._stills, self._all_clips))
        shown, asked = (self._draw.choices(shots, k=many) for _ in range(2))
        exercises = [self._wording.binding(self._wording.any_question([shot.item])) for shot in asked]
        return exercises, media_of(shown, self._rule, pairs, self._draw)

    def _some_clips(self, many: int, pairs: int) -> list[Shot]:
        """Clips drawn from all; where all of their frames are shown, clips of one length."""
        if pairs:
            return self._draw.choices(self._all_clips, k=many)
        length = self._draw.choices(list(self._clips), [len(clips) for clips in self._clips.values()])[0]
        return self._draw.choices(self._clips[length], k=many)

    def _turned(self, shot: Shot) -> Shot:
        """The shot, its mirror image, or either backwards."""
        if self._draw.random() < 0.5:
            shot = mirrored(shot)
        if shot.item.media_kind is MediaKind.CLIP and self._draw.random() < 0.5:
            shot = backwards(shot) or shot
        return shot


def media_of(shots: Sequence[Shot], rule: PositionRule, pairs: int = 0, draw: Random | None = None) -> Media:
    """Pictures of shots of one kind; of clips all pairs of frames, or so many drawn from them."""
    if shots[0].item.media_kind is MediaKind.STILL:  # one frame, seen twice
        frames = torch.stack([shot.frames for shot in shots])[:, None].expand(-1, -1, 2, -1, -1, -1)
        return Media(frames, torch.zeros((len(shots), 1), dtype=torch.long))
    chosen, times = [], []
    for shot in shots:
        all_pairs, when = shot.frames.unflatten(0, (-1, 2)), times_of(len(shot.frames), shot.fps, rule)
        places = _some(len(all_pairs), pairs, draw) if draw and pairs else list(range(len(all_pairs)))
        chosen.append(all_pairs[places])
        times.append(when[places])
    return Media(torch.stack(chosen), torch.stack(times))


def _some(there: int, wanted: int, draw: Random) -> list[int]:
    """So many places in order; a short clip shows some of them twice."""
    return sorted(draw.sample(range(there), wanted) if there >= wanted else draw.choices(range(there), k=wanted))
