"""Keys and values of the tokens read so far, kept and looked at in place.

transformers copies all of them for every new token: to add one more, and where prompts are padded (in 5.9, no longer in
5.23) to give each query head its own. With a batch of long prompts that was a quarter of the time on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

IN_PLACE = "sdpa_in_place"
ROOM = 64  # tokens a cache grows by


def attend_in_place(model: Any) -> None:
    """Let the text model of a loaded Qwen2.5-VL look at its cache where it is; it computes the same."""
    AttentionInterface.register(IN_PLACE, sdpa_in_place)
    AttentionMaskInterface.register(IN_PLACE, sdpa_mask)
    model.config.get_text_config()._attn_implementation = IN_PLACE


def sdpa_in_place(
    layer: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Query (rows, heads, tokens, width) to (rows, tokens, heads, width); the heads of one token that share keys are
    looked up together, as if they were tokens."""
    rows, heads, tokens, width = query.shape
    if tokens > 1:
        return sdpa_attention_forward(layer, query, key, value, attention_mask, scaling=scaling, **settings)  # type: ignore[no-any-return]
    sharing = query.reshape(rows, key.shape[1], -1, width)
    attended = scaled_dot_product_attention(sharing, key, value, attn_mask=attention_mask, scale=scaling)
    return attended.reshape(rows, 1, heads, width), None


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """A layer's cache with room for some tokens more than it holds."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self._rooms = torch.empty(0), torch.empty(0)

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        """Add states (rows, heads, tokens, width) and return all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        known = self.get_seq_length()
        self._rooms = (
            _with(self._rooms[0], self.keys, known, key_states),
            _with(self._rooms[1], self.values, known, value_states),
        )
        self.keys, self.values = (room[..., : known + key_states.shape[-2], :] for room in self._rooms)
        return self.keys, self.values


def _with(room: torch.Tensor, states: torch.Tensor, known: int, new: torch.Tensor) -> torch.Tensor:
    """Put the new tokens behind the known ones: in their room, or a larger one where that is full or another's."""
    rows, heads, count, width = new.shape
    if not known or room.data_ptr() != states.data_ptr() or room.shape[-2] < known + count:
        room = new.new_empty((rows, heads, known + count + ROOM, width))
        if known:
            room[..., :known, :] = states
    room[..., known : known + count, :] = new
    return room


def joined(caches: list[Cache], length: int) -> Cache:
    """One cache of all rows, filled up to a length on the left, where it is masked; those given are emptied."""
    layers = []
    while caches[0].layers:
        parts = [cache.layers.pop(0) for cache in caches]
        states = ([getattr(part, name) for part in parts] for name in ("keys", "values"))
        layer = GrowingLayer()
        layer.update(*(torch.cat([pad(one, (0, 0, length - one.shape[2], 0)) for one in some]) for some in states))
        layers.append(layer)
    return Cache(layers=layers)
