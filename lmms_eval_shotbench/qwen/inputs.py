"""Pictures and frames at the protocol's size, cut into the patches of a Qwen-VL; prompts padded into batches.

The sizes are those of qwen_vl_utils followed by the checkpoint's own processor, which the official script uses, and the
vision tower's inputs are bit-identical to theirs. Patches are uint8 here, a quarter of the size of float32;
`pixel_values.py` converts them to floats. Pictures are resized by `qwen/scaling/scale.py`. How media stand in a prompt
depends on the architecture (`architecture.py`).
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
from lmms_eval_shotbench.qwen.rope_positions import Grid
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
    seconds: tuple[float, ...] = ()  # of a clip, see `patch_seconds`


class Prompt(NamedTuple):
    """Token ids with one placeholder for each medium, and the media."""

    ids: Sequence[int]
    media: Sequence[Patches] = ()


@dataclass(frozen=True)
class PatchRule:
    """Patch size, normalisation and limits of a checkpoint's processor."""

    side: int  # pixels per patch side
    merge: int  # patches per token side
    frames: int  # frames per patch
    mean: tuple[float, ...]  # per channel, in 0..255
    std: tuple[float, ...]  # per channel, in 0..255
    clip_pixels: int | None = None  # maximum pixels of all frames of a clip together

    @classmethod
    def of(cls, processor: Any) -> PatchRule:
        """Read the rule from a processor."""
        from transformers import Qwen3VLVideoProcessor

        images, clips = processor.image_processor, processor.video_processor
        scale = 1.0 / images.rescale_factor
        mean, std = (tuple((torch.tensor(values) * scale).tolist()) for values in (images.image_mean, images.image_std))
        clip_pixels = clips.size["longest_edge"] if isinstance(clips, Qwen3VLVideoProcessor) else None
        return cls(images.patch_size, images.merge_size, images.temporal_patch_size, mean, std, clip_pixels)

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

    def fitted_frames(self, frames: int, height: int, width: int, least: int, most: int) -> tuple[int, int]:
        """Return the (height, width) to resize the frames of a clip to; see `fitted`.

        Args:
            frames: Number of frames that are shown; their pixels together are limited by some processors.
            height: Height of the clip in pixels.
            width: Width of the clip in pixels.
            least: Minimum number of pixels per frame after resizing.
            most: Maximum number of pixels per frame after resizing.
        """
        if self.clip_pixels:
            most = min(most, self.clip_pixels // (self.frames * -(-frames // self.frames)))
        return self.fitted(height, width, least, most)

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
        height, width = rule.fitted_frames(len(indices), clip.height, clip.width, limits.clip_min, limits.clip_max)
        grid = rule.grid(len(indices), height, width, clip.sampled_rate(indices))
        values = _uninitialised(grid.patches, CHANNELS * rule.frames * rule.side**2)
        rest = values
        for scaled in _apply_view((scaled_frames(one, height, width) for one in clip.read(indices)), view):
            if missing := -len(scaled) % rule.frames:
                scaled = torch.cat([scaled, scaled[-1:].expand(missing, -1, -1, -1)])
            part = grid._replace(time=len(scaled) // rule.frames)
            _cut(scaled, rest[: part.patches], rule, rule.frames)
            rest = rest[part.patches :]
    return Patches(MediaKind.CLIP, values, grid, patch_seconds(indices, clip.frame_rate, rule.frames))


def patch_seconds(indices: Sequence[int], frame_rate: Fraction, frames: int) -> tuple[float, ...]:
    """Return the time of each temporal patch of a clip in seconds: the middle between its first and its last frame.

    The sums are those of transformers' processors, in floats.

    Args:
        indices: Indices of the frames that are shown.
        frame_rate: Frames per second of the clip.
        frames: Frames per patch.
    """
    times = [index / float(frame_rate) for index in indices]
    patches = (times[start : start + frames] for start in range(0, len(times), frames))
    return tuple((some[0] + some[-1]) / 2 for some in patches)


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
    size = 360, 640
    if kind is MediaKind.STILL:
        frames, seconds = 1, tuple[float, ...]()
        grid = rule.grid(1, *rule.fitted(*size, limits.still_min, limits.still_max))
    else:
        frames = rule.frames
        shown, fps = int(2 * limits.fps) // frames * frames or frames, Fraction(limits.fps)
        grid = rule.grid(shown, *rule.fitted_frames(shown, *size, limits.clip_min, limits.clip_max), fps)
        seconds = patch_seconds(range(shown), fps, frames)
    values = torch.full((grid.patches, CHANNELS * frames * rule.side**2), MID_GREY, dtype=torch.uint8)
    return Patches(kind, values, grid, seconds)


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


def grid_from_header(kind: MediaKind, encoded: bytes, limits: MediaLimits, rule: PatchRule) -> Grid:
    """Return the patch grid of a medium from its header; that of a clip is an estimate."""
    if kind is MediaKind.STILL:
        width, height = still_size(encoded)
        return rule.grid(1, *rule.fitted(height, width, limits.still_min, limits.still_max))
    header = clip_header(encoded)
    frames = len(sampled_frames(max(header.frames, 1), header.frame_rate, limits.fps))
    size = rule.fitted_frames(frames, header.height, header.width, limits.clip_min, limits.clip_max)
    return rule.grid(frames, *size, Fraction(limits.fps))


def left_padded(rows: Sequence[torch.Tensor], positions: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Pad prompts on the left to one batch.

    A row is padded with its own first token, not with the padding token: a repetition penalty includes masked tokens
    and would otherwise depend on the other prompts of the batch.

    Args:
        rows: Token ids (length,) of each prompt.
        positions: Rotary positions (3, length) of each.

    Returns:
        input_ids and attention_mask of shape (rows, length), position_ids of shape (3, rows, length), all int64.
    """
    length = max(map(len, rows))
    ids = torch.stack([torch.cat([row[:1].expand(length - len(row)), row]) for row in rows])
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
    padded = torch.full((3, len(rows), length), PADDING_POSITION)
    for number, row in enumerate(rows):
        padded[:, number, length - len(row) :] = positions[number]
    return {"input_ids": ids, "attention_mask": mask, "position_ids": padded}
