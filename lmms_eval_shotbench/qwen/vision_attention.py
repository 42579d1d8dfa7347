"""Attention of the vision tower, with all windows of one length in one call.

The tower of Qwen2.5-VL attends within windows of 8 x 8 patches, that of Qwen3-VL within pictures. Without
flash-attention, transformers calls the attention once per window, for a clip of four seconds 450 times per layer in
Qwen2.5-VL, and a GPU is limited by kernel launches.
"""

from __future__ import annotations

import sys
from types import MethodType
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

ATTENTION = "VisionAttention"  # end of the class's name in every architecture


def attend_by_length(model: Any) -> None:
    """Use this attention in the vision tower of a loaded Qwen-VL; results are the same."""
    windows = _WindowIndices()

    def forward(
        self: Any, hidden_states: torch.Tensor, cu_seqlens: torch.Tensor, *_unused: Any, **settings: Any
    ) -> torch.Tensor:
        return _attend(self, hidden_states, windows.by_length(cu_seqlens), *settings["position_embeddings"])

    for module in model.modules():
        if type(module).__name__.endswith(ATTENTION):
            module.forward = MethodType(forward, module)


def _attend(
    layer: Any, hidden_states: torch.Tensor, windows: list[torch.Tensor], cos: torch.Tensor, sin: torch.Tensor
) -> torch.Tensor:
    """Attend within windows: hidden_states (patches, width), patch indices `windows` (windows, length) by length."""
    rotate = sys.modules[type(layer).__module__].apply_rotary_pos_emb_vision  # of its architecture
    patches = len(hidden_states)
    query, key, value = layer.qkv(hidden_states).view(patches, 3, layer.num_heads, -1).unbind(1)
    query, key = rotate(query, key, cos, sin)
    attended = torch.empty_like(value)
    for rows in windows:
        parts = (tensor[rows].transpose(1, 2) for tensor in (query, key, value))
        attended[rows] = scaled_dot_product_attention(*parts).transpose(1, 2)
    return layer.proj(attended.reshape(patches, -1))  # type: ignore[no-any-return]


class _WindowIndices:
    """Patch indices of windows by length, cached for the two kinds of bounds that the layers of a batch share."""

    def __init__(self) -> None:
        self._cache: list[tuple[torch.Tensor, list[torch.Tensor]]] = []

    def by_length(self, bounds: torch.Tensor) -> list[torch.Tensor]:
        """Return patch indices (windows, length) for each distinct length in bounds (windows + 1,)."""
        for known, rows in self._cache:
            if known is bounds:
                return rows
        lengths = bounds.diff()
        starts = [bounds[:-1][lengths == length] for length in lengths.unique()]
        rows = [
            start[:, None] + torch.arange(int(length), device=bounds.device)
            for start, length in zip(starts, lengths.unique(), strict=True)
        ]
        self._cache = [*self._cache[-1:], (bounds, rows)]
        return rows
