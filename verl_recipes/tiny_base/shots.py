"""Shots to learn from: questions with their pictures in memory, as the model is shown them, and their mirror images.

Pictures are scaled by the evaluation's own code. A mirrored picture and a clip shown backwards have labels of their
own, which follow from the vocabulary; they double and redouble the shots.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

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
    """A question, and its pictures as bytes (frames, 3, height, width); a still has one frame and no frame rate."""

    item: QAItem
    frames: torch.Tensor
    fps: float = 0.0


def read_shots(shards: Iterable[str], split: str, shown: MediaLimits, rule: PatchRule) -> Iterator[Shot]:
    """Yield a split's questions with their pictures; raises `DatasetNotFound`."""
    for name in shards:
        folder = ShardFolder(locate_shards(name), split)
        for item in folder.items():
            yield make_shot(item, folder.media(item.item_id), shown, rule)


def make_shot(item: QAItem, encoded: bytes, shown: MediaLimits, rule: PatchRule) -> Shot:
    """Decode what the evaluation would show of a medium."""
    if item.media_kind is MediaKind.STILL:
        picture = open_still(encoded)
        size = rule.fitted(picture.height, picture.width, shown.still_min, shown.still_max)
        return Shot(item, scaled_still(picture, *size))
    with Clip(encoded) as clip:
        size = rule.fitted(clip.height, clip.width, shown.clip_min, shown.clip_max)
        indices = clip.sampled(shown.fps)
        frames = torch.cat([scaled_frames(frames, *size) for frames in clip.read(indices)])
        return Shot(item, frames, len(indices) / clip.frames * clip.frame_rate)


def mirrored(shot: Shot) -> Shot:
    """The shot seen in a mirror."""
    return Shot(_relabelled(shot.item, View.MIRRORED), shot.frames.flip(-1), shot.fps)


def backwards(shot: Shot) -> Shot | None:
    """The clip from its end to its beginning; None where that is no movement of a camera any more."""
    label = shot.item.label(shot.item.answer)
    if label is None or any(term.facet == AMBIGUOUS_REVERSED for term in label.terms):
        return None
    return Shot(_relabelled(shot.item, View.REVERSED), shot.frames.flip(0), shot.fps)


def _relabelled(item: QAItem, view: View) -> QAItem:
    return replace(item, options=tuple(opposite(text, view) for text in item.options))
