"""Inputs of Qwen2.5-VL: pictures and frames at the protocol's size, cut into patches; prompts padded into batches.

The sizes are those of qwen_vl_utils followed by the checkpoint's own processor, which the official script uses, and the
vision tower's inputs are bit-identical to theirs. Patches are uint8 here, a quarter of the size of float32;
`pixel_values.py` converts them to floats. Pictures are resized by `qwen/scaling/scale.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
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
PADDING_POSITION = 0  # masked, so any value works
MID_GREY = 128  # fill value of blanked media
# Axes of patches, as `_cut` orders them, that a view reverses: columns of tokens, of patches within a token and of
# pixels within a patch; pairs of frames and frames within a pair
FLIPPED_AXES = {View.MIRRORED: (2, 4, 8), View.REVERSED: (0, 6)}


class MediaLimits(NamedTuple):
    """Minimum and maximum pixels (height * width) per still and per frame, and sampled frames per second of a clip."""

    still_min: int
    still_max: int
    clip_min: int = CLIP_MIN_PIXELS
    clip_max: int = CLIP_MAX_PIXELS
    fps: float = CLIP_FPS
    blank: bool = False  # replace every picture by plain grey, to measure a model without visual input


class Patches(NamedTuple):
    """A medium cut into patches."""

    kind: MediaKind
    values: torch.Tensor  # uint8, (patches, channels * frames * side**2); frames: `PatchRule.frames`, but 1 for a still
    grid: Grid


class Prompt(NamedTuple):
    """Token ids with one placeholder for each medium, and the media."""

    ids: Sequence[int]
    media: Sequence[Patches] = ()

    def tokens(self, merge: int) -> int:
        """Return the prompt's length in tokens after expansion of the placeholders; `merge` as in `PatchRule`."""
        return len(self.ids) + sum(tokens_of(one.grid, merge) - 1 for one in self.media)


@dataclass(frozen=True)
class PatchRule:
    """Patch size and normalisation of a checkpoint's processor."""

    side: int  # pixels per patch side
    merge: int  # patches per token side
    frames: int  # frames per patch
    mean: tuple[float, ...]  # per channel, in 0..255
    std: tuple[float, ...]  # per channel, in 0..255

    @classmethod
    def of(cls, processor: Any) -> PatchRule:
        """Read the rule from a processor."""
        images = processor.image_processor
        scale = 1.0 / images.rescale_factor
        mean, std = (tuple((torch.tensor(values) * scale).tolist()) for values in (images.image_mean, images.image_std))
        return cls(images.patch_size, images.merge_size, images.temporal_patch_size, mean, std)

    def fitted(self, height: int, width: int, least: int, most: int) -> tuple[int, int]:
        """Return the (height, width) to resize a picture to, multiples of a token's side.

        Args:
            height: Height of the picture in pixels.
            width: Width of the picture in pixels.
            least: Minimum number of pixels after resizing.
            most: Maximum number of pixels after resizing.

        Raises:
            BrokenMedium: The aspect ratio is above 200.
        """
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

        side = self.side * self.merge
        try:
            fitted: tuple[int, int] = smart_resize(height, width, side, min(least, most), most)
            if fitted[0] * fitted[1] > most:  # upscaled beyond the limit; the processor resizes again, to within it
                fitted = smart_resize(*fitted, side, 0, most)
        except ValueError as error:  # aspect ratio above 200
            raise BrokenMedium(f"{width}x{height} pixels cannot be shown: {error}") from None
        return fitted

    def grid(self, frames: int, height: int, width: int, fps: Fraction = Fraction(0)) -> Grid:
        """Return the patch grid of `frames` frames; `height` and `width` in pixels, as returned by `fitted`."""
        return Grid(-(-frames // self.frames), height // self.side, width // self.side, fps)


def still_patches(picture: Image, limits: MediaLimits, rule: PatchRule) -> Patches:
    """Resize a still and cut it into patches of one frame, which `pixel_values.py` repeats to `rule.frames` frames."""
    height, width = rule.fitted(picture.height, picture.width, limits.still_min, limits.still_max)
    grid = rule.grid(1, height, width)
    values = _uninitialised(grid.patches, CHANNELS * rule.side**2)
    _cut(scaled_still(picture, height, width), values, rule, frames=1)
    return Patches(MediaKind.STILL, values, grid)


def clip_patches(encoded: bytes, limits: MediaLimits, rule: PatchRule, view: View = View.AS_FILMED) -> Patches:
    """Decode the sampled frames of a clip in chunks, resize them and cut them into patches; raises `BrokenMedium`."""
    with Clip(encoded) as clip:
        indices = clip.sampled(limits.fps)
        height, width = rule.fitted(clip.height, clip.width, limits.clip_min, limits.clip_max)
        grid = rule.grid(len(indices), height, width, clip.sampled_rate(indices))
        values = _uninitialised(grid.patches, CHANNELS * rule.frames * rule.side**2)
        rest = values
        for scaled in _apply_view((scaled_frames(one, height, width) for one in clip.read(indices)), view):
            if missing := -len(scaled) % rule.frames:
                scaled = torch.cat([scaled, scaled[-1:].expand(missing, -1, -1, -1)])
            part = grid._replace(time=len(scaled) // rule.frames)
            _cut(scaled, rest[: part.patches], rule, rule.frames)
            rest = rest[part.patches :]
    return Patches(MediaKind.CLIP, values, grid)


def _apply_view(frames: Iterable[torch.Tensor], view: View) -> Iterator[torch.Tensor]:
    """Mirror or reverse a clip given in chunks (frames, channels, height, width); a reversed clip is one chunk."""
    if view is View.REVERSED:
        frames = [torch.cat(list(frames)).flip(0)]
    for chunk in frames:
        yield chunk.flip(-1) if view is View.MIRRORED else chunk


def shown_as(medium: Patches, views: Collection[View], rule: PatchRule) -> Patches:
    """Return the medium mirrored, reversed or both, without decoding it again."""
    if not views:
        return medium
    rows, columns = (size // rule.merge for size in (medium.grid.height, medium.grid.width))
    shape = medium.grid.time, rows, columns, rule.merge, rule.merge, CHANNELS, -1, rule.side, rule.side
    flipped = [axis for view, axes in FLIPPED_AXES.items() if view in views for axis in axes]
    return medium._replace(values=medium.values.view(shape).flip(flipped).view(medium.values.shape))


def grey_medium(kind: MediaKind, limits: MediaLimits, rule: PatchRule) -> Patches:
    """Return a plain grey still of 16:9, or a plain grey clip of two seconds."""
    frames = 1 if kind is MediaKind.STILL else int(2 * limits.fps) // rule.frames * rule.frames or rule.frames
    least, most = (limits.still_min, limits.still_max) if frames == 1 else (limits.clip_min, limits.clip_max)
    grid = rule.grid(frames, *rule.fitted(360, 640, least, most), Fraction(limits.fps if frames > 1 else 0))
    channels = CHANNELS * (1 if frames == 1 else rule.frames)
    return Patches(kind, torch.full((grid.patches, channels * rule.side**2), MID_GREY, dtype=torch.uint8), grid)


def blanked(medium: Patches) -> Patches:
    """Return the medium with all pixels grey, of the same size and length."""
    return medium._replace(values=torch.full_like(medium.values, MID_GREY))


def _uninitialised(*shape: int) -> torch.Tensor:
    """Return an uninitialised uint8 tensor from numpy, whose huge pages cut the time of first writes to a third."""
    return torch.from_numpy(numpy.empty(shape, numpy.uint8))


def _cut(pictures: torch.Tensor, patches: torch.Tensor, rule: PatchRule, frames: int) -> None:
    """Cut pictures (n, channels, height, width) into the output `patches` (patches, values) of `frames` frames each.

    Tokens are in row-major order, as are the patches within a token; the values of a patch are ordered by channel,
    frame, row and column. numpy copies in this order faster than torch.
    """
    n, channels, height, width = pictures.shape
    token = rule.merge, rule.side
    down, across = (size // (rule.merge * rule.side) for size in (height, width))
    split = pictures.numpy().reshape(n // frames, frames, channels, down, *token, across, *token)
    in_order = split.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8)
    patches.numpy().reshape(in_order.shape)[:] = in_order


def still_tokens(encoded: bytes, limits: MediaLimits, rule: PatchRule) -> int:
    """Return the number of tokens of a still, from its header."""
    width, height = still_size(encoded)
    return tokens_of(rule.grid(1, *rule.fitted(height, width, limits.still_min, limits.still_max)), rule.merge)


def clip_tokens(encoded: bytes, limits: MediaLimits, rule: PatchRule) -> int:
    """Estimate the number of tokens of a clip from its header."""
    header = clip_header(encoded)
    frames = len(sampled_frames(max(header.frames, 1), header.frame_rate, limits.fps))
    size = rule.fitted(header.height, header.width, limits.clip_min, limits.clip_max)
    return tokens_of(rule.grid(frames, *size), rule.merge)


def pad_batch(
    prompts: Sequence[Prompt], placeholders: dict[MediaKind, int], rule: PositionRule
) -> dict[str, torch.Tensor]:
    """Expand the placeholders of prompts and pad them on the left to one batch.

    A row is padded with its own first token, not with the padding token: a repetition penalty includes masked tokens
    and would otherwise depend on the other prompts of the batch.

    Args:
        prompts: One prompt per row.
        placeholders: Token id of the placeholder of each kind of medium.
        rule: Rule of the checkpoint's rotary positions.

    Returns:
        input_ids and attention_mask of shape (rows, length), position_ids of shape (3, rows, length), all int64.
    """
    rows = [_expanded(prompt, placeholders, rule.merge) for prompt in prompts]
    grids = ([medium.grid for medium in prompt.media] for prompt in prompts)
    return left_padded(rows, [prompt_positions(row, of_row, rule) for row, of_row in zip(rows, grids, strict=True)])


def left_padded(rows: Sequence[torch.Tensor], positions: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Pad token ids (length,) and positions (3, length) of prompts to one batch, as returned by `pad_batch`."""
    length = max(map(len, rows))
    ids = torch.stack([torch.cat([row[:1].expand(length - len(row)), row]) for row in rows])
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
    padded = torch.full((3, len(rows), length), PADDING_POSITION)
    for number, row in enumerate(rows):
        padded[:, number, length - len(row) :] = positions[number]
    return {"input_ids": ids, "attention_mask": mask, "position_ids": padded}


def _expanded(prompt: Prompt, placeholders: dict[MediaKind, int], merge: int) -> torch.Tensor:
    """Return the token ids with each placeholder repeated for every token of its medium."""
    media = iter(prompt.media)
    placeholder_ids = set(placeholders.values())
    counts = [tokens_of(next(media).grid, merge) if token in placeholder_ids else 1 for token in prompt.ids]
    return torch.tensor(prompt.ids).repeat_interleave(torch.tensor(counts))
