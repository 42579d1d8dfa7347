"""Qwen2.5-VL: a clip is one run of tokens, and its rotary positions encode the times of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch

from lmms_eval_shotbench.qwen.architecture import Architecture, placeholder_tokens
from lmms_eval_shotbench.qwen.inputs import Patches, Prompt
from lmms_eval_shotbench.qwen.rope_positions import Grid, PositionRule, tokens_of


class Qwen2_5VL(Architecture):
    """Prompts of Qwen2.5-VL."""

    @classmethod
    def of(cls, config: Any, processor: Any) -> Self:
        """Read the layout from a checkpoint's configuration."""
        return cls(placeholder_tokens(config), position_rule(config))

    def expanded(self, prompt: Prompt) -> torch.Tensor:
        """Repeat each placeholder for every token of its medium: int64 (length,)."""
        media, placeholders = iter(prompt.media), set(self.placeholders.values())
        counts = [self.medium_tokens(next(media).grid) if token in placeholders else 1 for token in prompt.ids]
        return torch.tensor(prompt.ids).repeat_interleave(torch.tensor(counts))

    def position_grids(self, medium: Patches) -> Sequence[Grid]:
        """Return the grid of the medium."""
        return [medium.grid]

    def medium_tokens(self, grid: Grid) -> int:
        """Return the number of tokens of a medium."""
        return tokens_of(grid, self.rule.merge)


def position_rule(config: Any) -> PositionRule:
    """Return the position rule of a Qwen2.5-VL's configuration."""
    vision = config.vision_config
    tokens = frozenset((config.image_token_id, config.video_token_id))
    return PositionRule(tokens, vision.spatial_merge_size, vision.tokens_per_second, vision.temporal_patch_size)
