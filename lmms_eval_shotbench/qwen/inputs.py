"""What Qwen2.5-VL is shown: pictures and frames at the protocol's size, cut into patches; prompts padded into batches.

The sizes are those of qwen_vl_utils followed by the checkpoint's own processor, which the official script uses, and the
numbers the vision tower gets are bit for bit the same. Patches stay bytes here, a quarter of the memory and of the
copying; `pixel_values.py` makes numbers of them. How pictures are resized is in `qwen/scaling/scale.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
import torch

from lmms_eval_shotbench.media.clips import (
    CLIP_FPS,
    CLIP_MAX_PIXELS,
    CLIP_MIN_PIXELS,
    Clip,
    clip_header,
    sampled_frames,
)
from lmms_eval_shotbench.media.stills import BrokenMedium, still_size
from lmms_eval_shotbench.qwen.rope_positions import Grid, PositionRule, prompt_positions, tokens_of
from lmms_eval_shotbench.qwen.scaling.scale import scaled_frames, scaled_still
from lmms_eval_shotbench.vocabulary import MediaKind, View

if TYPE_CHECKING:
    from PIL.Image import Image

CHANNELS = 3  # red, green, blue
PLAIN_TEXT = 0  # position of padding; masked, so any value does
MID_GREY = 128  # what blanked media are filled with


class Shown(NamedTuple):
    """Limits of what is shown, in pixels of a still or of one frame, and frames a second of a clip."""

    still_min: int
    still_max: int
    clip_min: int = CLIP_MIN_PIXELS
    clip_max: int = CLIP_MAX_PIXELS
    fps: float = CLIP_FPS
    blank: bool = False  # plain grey in place of every picture: what a model knows without looking


class Patches(NamedTuple):
    """A medium ready for the vision tower: bytes of shape (patches, channels * frames a patch * side * side)."""

    kind: MediaKind
    values: torch.Tensor
    grid: Grid


class Prompt(NamedTuple):
    """Token ids with one placeholder for each medium, and the media."""

    ids: Sequence[int]
    media: Sequence[Patches] = ()

    def tokens(self, merge: int) -> int:
        """Its length once each placeholder stands for the tokens of its medium."""
        return len(self.ids) + sum(tokens_of(one.grid, merge) - 1 for one in self.media)


@dataclass(frozen=True)
class PatchRule:
    """How a checkpoint's processor cuts and scales pictures."""

    side: int  # pixels of a patch
    merge: int
    frames: int  # frames of a patch
    mean: tuple[float, ...]  # of a channel, in 0..255
    std: tuple[float, ...]

    @classmethod
    def of(cls, processor: Any) -> PatchRule:
        """Read it from a processor."""
        images = processor.image_processor
        scale = 1.0 / images.rescale_factor
        mean, std = (tuple((torch.tensor(values) * scale).tolist()) for values in (images.image_mean, images.image_std))
        return cls(images.patch_size, images.merge_size, images.temporal_patch_size, mean, std)

    def fitted(self, height: int, width: int, least: int, most: int) -> tuple[int, int]:
        """Height and width a picture is scaled to, both multiples of a token's side; raises `BrokenMedium`."""
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

        side = self.side * self.merge
        try:
            fitted: tuple[int, int] = smart_resize(height, width, side, min(least, most), most)
            if fitted[0] * fitted[1] > most:  # scaled up past it; a processor with this limit would scale it down again
                fitted = smart_resize(*fitted, side, 0, most)
        except ValueError as error:  # more than 200 times as long as wide
            raise BrokenMedium(f"{width}x{height} pixels cannot be shown: {error}") from None
        return fitted

    def grid(self, frames: int, height: int, width: int, fps: float = 0.0) -> Grid:
        """Patches of so many frames of a fitted size."""
        return Grid(-(-frames // self.frames), height // self.side, width // self.side, fps)


def still_patches(picture: Image, shown: Shown, rule: PatchRule) -> Patches:
    """Scale a still and cut it; it is one frame, which the device repeats to fill a patch."""
    height, width = rule.fitted(picture.height, picture.width, shown.still_min, shown.still_max)
    grid = rule.grid(1, height, width)
    values = _uninitialised(grid.patches, CHANNELS * rule.side**2)
    _cut(scaled_still(picture, height, width), values, rule, frames=1)
    return Patches(MediaKind.STILL, values, grid)


def clip_patches(encoded: bytes, shown: Shown, rule: PatchRule, view: View = View.AS_FILMED) -> Patches:
    """Decode the protocol's frames, a few at a time, scale and cut them; raises `BrokenMedium`."""
    with Clip(encoded) as clip:
        indices = clip.sampled(shown.fps)
        height, width = rule.fitted(clip.height, clip.width, shown.clip_min, shown.clip_max)
        grid = rule.grid(len(indices), height, width, len(indices) / clip.frames * clip.frame_rate)
        values = _uninitialised(grid.patches, CHANNELS * rule.frames * rule.side**2)
        rest = values
        for scaled in in_view((scaled_frames(one, height, width) for one in clip.read(indices)), view):
            if missing := -len(scaled) % rule.frames:
                scaled = torch.cat([scaled, scaled[-1:].expand(missing, -1, -1, -1)])
            part = grid._replace(time=len(scaled) // rule.frames)
            _cut(scaled, rest[: part.patches], rule, rule.frames)
            rest = rest[part.patches :]
    return Patches(MediaKind.CLIP, values, grid)


def in_view(frames: Iterable[torch.Tensor], view: View) -> Iterator[torch.Tensor]:
    """Pieces of a clip (frames, channels, height, width) as the view has them; backwards, all come in one piece."""
    if view is View.REVERSED:
        frames = [torch.cat(list(frames)).flip(0)]
    for piece in frames:
        yield piece.flip(-1) if view is View.MIRRORED else piece


def blanked(medium: Patches) -> Patches:
    """The same medium with nothing on it: as large, as long, and grey."""
    return medium._replace(values=torch.full_like(medium.values, MID_GREY))


def _uninitialised(*shape: int) -> torch.Tensor:
    """Bytes of any value, from numpy: it asks for large pages, which are touched in a third of the time."""
    return torch.from_numpy(numpy.empty(shape, numpy.uint8))


def _cut(pictures: torch.Tensor, patches: torch.Tensor, rule: PatchRule, frames: int) -> None:
    """Cut pictures (n, channels, height, width) into `patches` (patches, values) of so many frames each.

    Tokens follow each other by rows; a token's patches lie together, by rows; a patch holds channel by channel, of each
    channel its frames, of each frame its rows. numpy copies in this order in less time than torch.
    """
    n, channels, height, width = pictures.shape
    token = rule.merge, rule.side
    down, across = (size // (rule.merge * rule.side) for size in (height, width))
    split = pictures.numpy().reshape(n // frames, frames, channels, down, *token, across, *token)
    in_order = split.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8)
    patches.numpy().reshape(in_order.shape)[:] = in_order


def still_tokens(encoded: bytes, shown: Shown, rule: PatchRule) -> int:
    """Tokens of a still, from its header."""
    width, height = still_size(encoded)
    return tokens_of(rule.grid(1, *rule.fitted(height, width, shown.still_min, shown.still_max)), rule.merge)


def clip_tokens(encoded: bytes, shown: Shown, rule: PatchRule) -> int:
    """Tokens of a clip, estimated from its header."""
    header = clip_header(encoded)
    frames = len(sampled_frames(max(header.frames, 1), header.frame_rate, shown.fps))
    size = rule.fitted(header.height, header.width, shown.clip_min, shown.clip_max)
    return tokens_of(rule.grid(frames, *size), rule.merge)


def pad_batch(
    prompts: Sequence[Prompt], placeholders: dict[MediaKind, int], rule: PositionRule
) -> dict[str, torch.Tensor]:
    """Pad on the left: input_ids and attention_mask of shape (rows, length), position_ids of (3, rows, length).

    A row is filled up with its own first token, not with the padding token: a penalty on repetition looks at masked
    tokens, too, and would then depend on the company a prompt is in.
    """
    rows = [_expanded(prompt, placeholders, rule.merge) for prompt in prompts]
    grids = ([medium.grid for medium in prompt.media] for prompt in prompts)
    return left_padded(rows, [prompt_positions(row, of_row, rule) for row, of_row in zip(rows, grids, strict=True)])


def left_padded(rows: Sequence[torch.Tensor], positions: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Ids (length,) and positions (3, length) of prompts as a batch, named as in `pad_batch`."""
    length = max(map(len, rows))
    ids = torch.stack([torch.cat([row[:1].expand(length - len(row)), row]) for row in rows])
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
    padded = torch.full((3, len(rows), length), PLAIN_TEXT)
    for number, row in enumerate(rows):
        padded[:, number, length - len(row) :] = positions[number]
    return {"input_ids": ids, "attention_mask": mask, "position_ids": padded}


def _expanded(prompt: Prompt, placeholders: dict[MediaKind, int], merge: int) -> torch.Tensor:
    """Repeat each placeholder once for each token of its medium."""
    media = iter(prompt.media)
    of_media = set(placeholders.values())
    counts = [tokens_of(next(media).grid, merge) if token in of_media else 1 for token in prompt.ids]
    return torch.tensor(prompt.ids).repeat_interleave(torch.tensor(counts))
