"""Patch verl's SFT dataset to compute rotary positions by the function of the model's architecture, as GRPO does.

verl 0.9.1 uses the rule of Qwen2.5-VL for every checkpoint with a `Qwen2VLImageProcessor`. Qwen3-VL and Qwen3.5 have
one as well, but their prompts write a clip as one picture per temporal patch, each after its time in words, so the
first clip ends in an IndexError.

verl binds the model's own `get_rope_index` to the processor. The agent loop of GRPO calls it there, and so does SFT
with this patch. For Qwen2.5-VL it is that of `qwen2_5_vl/time_positions.py`, for the others that of transformers.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from verl_recipes.inside_verl.patch_on_import import unpatched, when_imported

if TYPE_CHECKING:
    import torch

MODULE = "verl.utils.dataset.multiturn_sft_dataset"
FUNCTION = "get_rope_index"  # imported by the dataset's module by name


def install() -> None:
    """Patch verl's module, now or when it is imported. Calling it again has no effect."""
    when_imported(MODULE, apply)


def apply(module: ModuleType) -> None:
    """Patch verl's module of the SFT dataset."""
    setattr(module, FUNCTION, row_positions)


def row_positions(
    processor: Any,
    input_ids: torch.Tensor,
    image_grid_thw: torch.Tensor | None = None,
    video_grid_thw: torch.Tensor | None = None,
    second_per_grid_ts: torch.Tensor | None = None,
    attention_mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Rotary positions of one row, with the signature of verl's function.

    Args:
        processor: Processor to which verl has bound the model's `get_rope_index`.
        input_ids: int64 (length,).
        image_grid_thw: int64 (stills, 3): time, height and width in patches.
        video_grid_thw: int64 (clips, 3), likewise.
        second_per_grid_ts: Seconds per temporal grid step, float (clips,); for Qwen2.5-VL only.
        attention_mask: (length,), 0 for padding; None if there is no padding.

    Returns:
        Positions of time, height and width, int64 (3, length).
    """
    import torch

    kinds = torch.zeros_like(input_ids)
    kinds[input_ids == processor.image_token_id] = 1
    kinds[input_ids == processor.video_token_id] = 2
    positions: torch.Tensor
    positions, _ = processor.get_rope_index(
        input_ids=input_ids[None],
        mm_token_type_ids=kinds[None],
        image_grid_thw=image_grid_thw,
        video_grid_thw=video_grid_thw,
        second_per_grid_ts=second_per_grid_ts,
        attention_mask=None if attention_mask is None else attention_mask[None],
    )
    return positions[:, 0]


def still_needed(processor: Any) -> bool:
    """Whether verl's own function fails for a clip of two temporal patches as Qwen3-VL's `processor` writes it."""
    import torch

    start, clip = processor.vision_start_token_id, processor.video_token_id
    ids = torch.tensor([5, start, clip, 6, start, clip])
    try:
        getattr(unpatched(MODULE), FUNCTION)(processor, ids, video_grid_thw=torch.tensor([[2, 2, 2]]))
    except IndexError:
        return True
    return False
