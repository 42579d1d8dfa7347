"""The media of a training step, stacked into one batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from random import Random
from typing import Protocol

import torch

from lmms_eval_shotbench.qwen.rope_positions import PositionRule
from verl_recipes.tiny_base.forward import MediaBatch, pair_times


class UnevenPictures(ValueError):
    """Resized stills or clips have different sizes and cannot be stacked into one batch."""


class Footage(Protocol):
    """Frames of a still or clip, uint8 (frames, 3, height, width); a still has one frame and the frame rate 0."""

    @property
    def frames(self) -> torch.Tensor:
        """uint8 (frames, 3, height, width); the number of frames is even for a clip."""
        ...

    @property
    def fps(self) -> Fraction:
        """Frames per second."""
        ...


def require_one_size(pictures: Iterable[torch.Tensor]) -> None:
    """Raise `UnevenPictures` unless all frames, (…, height, width), have the same height and width."""
    if len(sizes := {tuple(frames.shape[-2:]) for frames in pictures}) > 1:
        raise UnevenPictures(f"pictures of one shape are required, such as 16:9; these are resized to {sorted(sizes)}")


def stack_media(shots: Sequence[Footage], rule: PositionRule, pairs: int = 0, draw: Random | None = None) -> MediaBatch:
    """Stack the media of shots, which must be all stills or all clips.

    Args:
        shots: Shots whose frames have one size; clips must also have one length if all of their pairs are used.
        rule: Position rule of the model, for the time positions.
        pairs: Number of pairs of frames to draw from each clip; 0 for all.
        draw: Random generator for the draw; None for all pairs.
    """
    if not shots[0].fps:  # stills: one frame, repeated
        frames = torch.stack([shot.frames for shot in shots])[:, None].expand(-1, -1, 2, -1, -1, -1)
        return MediaBatch(frames, torch.zeros((len(shots), 1), dtype=torch.long))
    chosen, times = [], []
    for shot in shots:
        all_pairs, when = shot.frames.unflatten(0, (-1, 2)), pair_times(len(shot.frames), shot.fps, rule)
        indices = _drawn_indices(len(all_pairs), pairs, draw) if draw and pairs else list(range(len(all_pairs)))
        chosen.append(all_pairs[indices])
        times.append(when[indices])
    return MediaBatch(torch.stack(chosen), torch.stack(times))


def _drawn_indices(length: int, count: int, draw: Random) -> list[int]:
    """`count` random indices in order; distinct, unless `length` is smaller."""
    return sorted(draw.sample(range(length), count) if length >= count else draw.choices(range(length), k=count))
