"""The state of a layer with linear attention: of one size however long the prompt, without a length to pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import LinearAttentionLayer


class RecurrentLayer(LinearAttentionLayer):  # type: ignore[misc]
    """A layer's state, of which rows can be selected; transformers (5.9) cannot."""

    conv_states: torch.Tensor
    recurrent_states: torch.Tensor

    @classmethod
    def of(cls, parts: Sequence[Any]) -> RecurrentLayer:
        """Concatenate the states of layers along rows."""
        layer = cls()
        layer.update_conv_state(torch.cat([part.conv_states for part in parts]))
        layer.update_recurrent_state(torch.cat([part.recurrent_states for part in parts]))
        return layer

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep the rows with these indices, int64 (rows,), in this order; a row may be repeated."""
        self.conv_states, self.recurrent_states = self.conv_states[indices], self.recurrent_states[indices]
