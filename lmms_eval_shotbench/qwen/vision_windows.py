"""Attention of the vision tower, all windows of one length in one call.

The tower of Qwen2.5-VL looks at each window of 8 x 8 patches alone. Without flash-attention, transformers calls the
attention once a window, 450 times a layer for a clip of four seconds, and a GPU spends its time being called.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

ATTENTION = "Qwen2_5_VLVisionAttention"


def attend_by_length(model: Any) -> None:
    """Give the vision tower of a loaded model this attention; it computes the same."""
    seen = _Windows()

    def forward(
        self: Any, hidden_states: torch.Tensor, cu_seqlens: torch.Tensor, *_unused: Any, **settings: Any
    ) -> torch.Tensor:
        return _attend(self, hidden_states, seen.rows(cu_seqlens), *settings["position_embeddings"])

    for module in model.modules():
        if type(module).__name__ == ATTENTION:
            module.forward = MethodType(forward, module)


def _attend(
    layer: Any, hidden_states: torch.Tensor, windows: list[torch.Tensor], cos: torch.Tensor, sin: torch.Tensor
) -> torch.Tensor:
    """hidden_states (patches, width); each of `windows` (windows, length) holds the patches of windows of a length."""
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision

    patches = len(hidden_states)
    query, key, value = layer.qkv(hidden_states).view(patches, 3, layer.num_heads, -1).unbind(1)
    query, key = apply_rotary_pos_emb_vision(query, key, cos, sin)
    attended = torch.empty_like(value)
    for rows in windows:
        parts = (tensor[rows].transpose(1, 2) for tensor in (query, key, value))
        attended[rows] = scaled_dot_product_attention(*parts).transpose(1, 2)
    return layer.proj(attended.reshape(patches, -1))  # type: ignore[no-any-return]


class _Windows:
    """Windows sorted by length; layers share the two kinds of bounds of a batch, so these are kept."""

    def __init__(self) -> None:
        self._kept: list[tuple[torch.Tensor, list[torch.Tensor]]] = []

    def rows(self, bounds: torch.Tensor) -> list[torch.Tensor]:
        """Bounds (windows + 1,) to patches (windows, length) for each length there is."""
        for known, rows in self._kept:
            if known is bounds:
                return rows
        lengths = bounds.diff()
        starts = [bounds[:-1][lengths == length] for length in lengths.unique()]
        rows = [
            start[:, None] + torch.arange(int(length), device=bounds.device)
            for start, length in zip(starts, lengths.unique(), strict=True)
        ]
        self._kept = [*self._kept[-1:], (bounds, rows)]
        return rows
