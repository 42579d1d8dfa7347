"""Training shots: questions with their decoded media in memory, and their augmentation by mirroring and reversal.

Media are decoded and resized by the evaluation's own code. The labels of mirrored shots and reversed clips follow from
the vocabulary (`opposite`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import torch

from lmms_eval_shotbench.media.clips import Clip
from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import ShardFolder, locate_shards
from lmms_eval_shotbench.questions.variants import opposite
from lmms_eval_shotbench.qwen.inputs import MediaLimits, PatchRule
from lmms_eval_shotbench.qwen.scaling.scale import scaled_frames, scaled_still
from lmms_eval_shotbench.vocabulary import AMBIGUOUS_REVERSED, MediaKind, View


@dataclass(frozen=True)
class Shot:
    """A question and its frames, uint8 (frames, 3, height, width); a still has one frame and no frame rate."""

    item: QAItem
    frames: torch.Tensor
    fps: Fraction = Fraction(0)


def read_shots(shards: Iterable[str], split: str, shown: MediaLimits, rule: PatchRule) -> Iterator[Shot]:
    """Yield the questions of a split with their frames; raises `DatasetNotFound`."""
    for name in shards:
        folder = ShardFolder(locate_shards(name), split)
        for item in folder.items():
            yield make_shot(item, folder.media(item.item_id), shown, rule)


def make_shot(item: QAItem, encoded: bytes, shown: MediaLimits, rule: PatchRule) -> Shot:
    """Decode, sample and resize a medium as in the evaluation."""
    if item.media_kind is MediaKind.STILL:
        picture = open_still(encoded)
        size = rule.fitted(picture.height, picture.width, shown.still_min, shown.still_max)
        return Shot(item, scaled_still(picture, *size))
    with Clip(encoded) as clip:
        size = rule.fitted(clip.height, clip.width, shown.clip_min, shown.clip_max)
        indices = clip.sampled(shown.fps)
        frames = torch.cat([scaled_frames(frames, *size) for frames in clip.read(indices)])
        return Shot(item, frames, clip.sampled_rate(indices))


def mirrored(shot: Shot) -> Shot:
    """The shot flipped horizontally, with left and right exchanged in its labels."""
    return Shot(_relabelled(shot.item, View.MIRRORED), shot.frames.flip(-1), shot.fps)


def time_reversed(shot: Shot) -> Shot | None:
    """The clip played backwards with the labels of the reversed movement, or None if that has no certain label."""
    label = shot.item.label(shot.item.answer)
    if label is None or any(term.facet == AMBIGUOUS_REVERSED for term in label.terms):
        return None
    return Shot(_relabelled(shot.item, View.REVERSED), shot.frames.flip(0), shot.fps)


def _relabelled(item: QAItem, view: View) -> QAItem:
    return replace(item, options=tuple(opposite(text, view) for text in item.options))
