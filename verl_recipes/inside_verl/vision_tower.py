"""Patch verl's Qwen-VL models to run the vision tower exactly once per micro-batch, whatever media it holds.

FSDP gathers the weights of the tower by collectives each time it runs, so all ranks must run it equally often. verl
0.9.1 runs it once for the stills of a micro-batch and once for its clips. With two or more workers, a rank with stills
only and a rank with both then wait for different collectives: gloo aborts ("op.preamble.length <= op.nbytes"), NCCL
hangs. With Qwen2.5-VL, a micro-batch without media ends in an AttributeError, since transformers 5 returns an object
where verl expects a tensor. In GRPO verl itself adds rows without media, if responses are missing. The patch is the
same for all three architectures.

Here the patches of all stills and clips are encoded in one call, and verl's own function gets the features of each kind
from a stand-in for the tower. If there are no media, a blank picture is encoded. verl multiplies its features by zero
and adds them, so the gradients are not changed, and the backward pass has the same collectives on every rank.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from verl_recipes.inside_verl.patch_on_import import unpatched, when_imported

if TYPE_CHECKING:
    import torch

MODULES = {  # by architecture
    "qwen2_5_vl": "verl.models.transformers.qwen2_vl",
    "qwen3_vl": "verl.models.transformers.qwen3_vl",
    "qwen3_5": "verl.models.transformers.qwen3_5",
}
FUNCTION = "_get_input_embeds"  # called by the forward of these modules, by this name
BLANK_GRID = (1, 4, 4)  # time, height and width in patches; four tokens


class TowerFeatures(NamedTuple):
    """Features of the tokens of all stills or all clips, (tokens, width), in the form of transformers' output."""

    pooler_output: torch.Tensor
    deepstack_features: list[torch.Tensor]  # of intermediate layers, which Qwen3-VL adds to the language model


class Blank(NamedTuple):
    """One value per layer with features, which depends on all weights of the tower.

    verl reads the values of Qwen2.5-VL by `mean`, and those of the others by `pooler_output`.
    """

    pooler_output: torch.Tensor

    def mean(self) -> torch.Tensor:
        """Mean of the values, of shape ()."""
        return self.pooler_output.mean()


class TowerMedia(NamedTuple):
    """All stills or all clips of a micro-batch."""

    patches: torch.Tensor  # float (patches, values of a patch)
    grids: torch.Tensor  # int64 (media, 3): time, height and width in patches


def install() -> None:
    """Patch verl's modules, now or when they are imported. Calling it again has no effect."""
    for name in MODULES.values():
        when_imported(name, apply)


def apply(module: Any) -> None:
    """Patch one of `MODULES`."""
    setattr(module, FUNCTION, with_one_vision_pass(getattr(module, FUNCTION)))


def with_one_vision_pass(input_embeds: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap verl's function, which embeds tokens and media, so that it runs the vision tower once."""

    @functools.wraps(input_embeds)
    def embed(
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        image_grid_thw: torch.Tensor | None = None,
        video_grid_thw: torch.Tensor | None = None,
    ) -> Any:
        given = ((pixel_values, image_grid_thw), (pixel_values_videos, video_grid_thw))
        media = [TowerMedia(patches, grids) for patches, grids in given if patches is not None and grids is not None]
        # Before verl embeds the tokens on every rank: the order of the collectives must be the same, too.
        features = iter(encode_media(model.visual, media) if media else [encode_blank(model, input_ids.device)])

        def tower(*_: Any, **__: Any) -> Any:
            return next(features)

        tower.dtype = model.visual.dtype  # type: ignore[attr-defined]
        stand_in = SimpleNamespace(visual=tower, config=model.config, get_input_embeddings=model.get_input_embeddings)
        arguments = (attention_mask, pixel_values, pixel_values_videos, image_grid_thw, video_grid_thw)
        return input_embeds(stand_in, input_ids, *arguments)

    return embed


def encode_media(tower: Any, media: Sequence[TowerMedia]) -> list[TowerFeatures]:
    """Encode all media in one call.

    Args:
        tower: transformers' vision model.
        media: The stills and the clips, at least one of them.

    Returns:
        The features of each of `media`.
    """
    import torch
    from verl.utils.transformers_compat import unpack_visual_output

    patches = [one.patches.type(tower.dtype) for one in media]
    grids = torch.cat([one.grids for one in media])
    values = patches[0] if len(patches) == 1 else torch.cat(patches)  # torch.cat copies a single tensor, too
    last, intermediate = unpack_visual_output(tower(values, grid_thw=grids))
    tokens = [int(one.grids.prod(-1).sum()) // tower.spatial_merge_size**2 for one in media]
    layers = (layer.split(tokens) for layer in (last, *(intermediate or ())))
    return [TowerFeatures(features, more) for features, *more in zip(*layers, strict=True)]


def encode_blank(model: Any, device: torch.device) -> Blank:
    """Encode a blank picture."""
    import torch

    vision = model.config.vision_config
    values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    grid = torch.tensor([BLANK_GRID], device=device)
    blank = TowerMedia(torch.zeros((int(grid.prod()), values), device=device), grid)
    ((features, more),) = encode_media(model.visual, [blank])
    return Blank(torch.stack([layer.mean() for layer in (features, *more)]))


def still_needed(name: str) -> bool:
    """Whether the number of times that verl's own function in the module `name` runs the tower depends on the media."""
    import torch

    input_embeds = getattr(unpatched(name), FUNCTION)
    config = SimpleNamespace(in_channels=3, temporal_patch_size=2, patch_size=14)
    config = SimpleNamespace(image_token_id=1, video_token_id=2, vision_config=config)
    one = (torch.zeros(4, 1176), torch.tensor([[1, 2, 2]]))  # one token
    none = (None, None)
    runs = set()
    for (stills, still_grids), (clips, clip_grids) in ((one, none), (none, one), (one, one), (none, none)):
        tower = _CountingTower()
        model = SimpleNamespace(visual=tower, config=config, get_input_embeddings=lambda: torch.nn.Embedding(3, 8))
        ids = torch.tensor([[0] + [1] * (stills is not None) + [2] * (clips is not None)])
        try:
            input_embeds(model, ids, None, stills, clips, still_grids, clip_grids)
        except AttributeError:  # verl calls .mean() of the output
            return True
        runs.add(tower.runs)
    return len(runs) > 1


class _CountingTower:
    """A vision tower of constant features that counts how often it runs."""

    def __init__(self) -> None:
        import torch

        self.dtype, self.spatial_merge_size, self.runs = torch.float32, 2, 0

    def __call__(self, _patches: Any, grid_thw: Any) -> Any:
        import torch
        from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

        self.runs += 1
        features = torch.ones(int(grid_thw.prod(-1).sum()) // self.spatial_merge_size**2, 8)
        return BaseModelOutputWithDeepstackFeatures(pooler_output=features, deepstack_features=[features])
