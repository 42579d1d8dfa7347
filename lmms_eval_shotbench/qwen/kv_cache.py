"""KV cache with in-place updates and attention.

transformers copies all keys and values for every new token: to append it, and for padded prompts (in 5.9, no longer in
5.23) to repeat them for each query head. With a batch of long prompts that was a quarter of the time on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

IN_PLACE = "sdpa_in_place"
GROWTH = 64  # tokens of free capacity when a buffer is allocated


def attend_in_place(model: Any) -> None:
    """Register in-place attention for the text model of a loaded Qwen-VL; results are the same."""
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
    """Scaled dot-product attention without repeated keys: for a single token, query heads of a key head become tokens.

    The query has shape (rows, heads, tokens, width), the output (rows, tokens, heads, width).
    """
    rows, heads, tokens, width = query.shape
    if tokens > 1:
        return sdpa_attention_forward(layer, query, key, value, attention_mask, scaling=scaling, **settings)  # type: ignore[no-any-return]
    grouped = query.reshape(rows, key.shape[1], -1, width)
    attended = scaled_dot_product_attention(grouped, key, value, attn_mask=attention_mask, scale=scaling)
    return attended.reshape(rows, 1, heads, width), None


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """A layer's cache in buffers with free capacity."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self._buffers = torch.empty(0), torch.empty(0)

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        """Append states (rows, heads, tokens, width) and return all keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        known = self.get_seq_length()
        self._buffers = (
            _append(self._buffers[0], self.keys, known, key_states),
            _append(self._buffers[1], self.values, known, value_states),
        )
        self.keys, self.values = (buffer[..., : known + key_states.shape[-2], :] for buffer in self._buffers)
        return self.keys, self.values


def _append(buffer: torch.Tensor, states: torch.Tensor, known: int, new: torch.Tensor) -> torch.Tensor:
    """Append `new` (rows, heads, tokens, width) to the first `known` tokens of `states`; return a buffer with both.

    `buffer` is written in place if `states` is a view of it and it has capacity left; otherwise a larger one is
    allocated.
    """
    rows, heads, count, width = new.shape
    if not known or buffer.data_ptr() != states.data_ptr() or buffer.shape[-2] < known + count:
        buffer = new.new_empty((rows, heads, known + count + GROWTH, width))
        if known:
            buffer[..., :known, :] = states
    buffer[..., known : known + count, :] = new
    return buffer


def concatenate_caches(caches: list[Cache], length: int) -> Cache:
    """Concatenate caches along rows, padded on the left to `length` (masked); the given caches are emptied."""
    layers = list[Any]()
    while caches[0].layers:
        parts = [cache.layers.pop(0) for cache in caches]
        if not isinstance(parts[0], CacheLayerMixin):
            layers.append(_recurrent_layer(parts))
            continue
        states = ([getattr(part, name) for part in parts] for name in ("keys", "values"))
        layer = GrowingLayer()
        layer.update(*(torch.cat([pad(one, (0, 0, length - one.shape[2], 0)) for one in some]) for some in states))
        layers.append(layer)
    return Cache(layers=layers)


def _recurrent_layer(parts: list[Any]) -> Any:
    from lmms_eval_shotbench.qwen.recurrent_state import RecurrentLayer  # not in every version of transformers

    return RecurrentLayer.of(parts)
