"""What differs between the Qwen-VL architectures: how media stand in a prompt. One subclass per architecture.

A prompt holds one placeholder for each medium. A model is given a token for each of the medium's patches instead, and
three rotary positions per token (`rope_positions.py`). Pixels are the same for all architectures (`inputs.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch

from lmms_eval_shotbench.qwen.inputs import Patches, Prompt, left_padded
from lmms_eval_shotbench.qwen.rope_positions import Grid, PositionRule, prompt_positions
from lmms_eval_shotbench.vocabulary import MediaKind


class Architecture(ABC):
    """The layout of a checkpoint's prompts.

    Attributes:
        forks: Whether tokens after the same beginning can be run side by side, each attending to its own ancestors. A
            recurrent state goes through every token instead.
        clip_is_pictures: Whether a clip is a row of pictures, each between the tokens that begin and end one.
        placeholders: Token id of the placeholder of each kind of medium.
        rule: Rule of the rotary positions.
    """

    forks: ClassVar[bool] = True
    clip_is_pictures: ClassVar[bool] = False

    def __init__(self, placeholders: dict[MediaKind, int], rule: PositionRule) -> None:
        self.placeholders, self.rule = placeholders, rule

    @classmethod
    @abstractmethod
    def of(cls, config: Any, processor: Any) -> Self:
        """Read the layout from a checkpoint's configuration and processor, both of transformers."""

    @abstractmethod
    def expanded(self, prompt: Prompt) -> torch.Tensor:
        """Return the token ids given to the model, with a token for each patch of the media; int64 (length,)."""

    @abstractmethod
    def position_grids(self, medium: Patches) -> Sequence[Grid]:
        """Return the grids of a medium's runs of tokens, for `prompt_positions`."""

    @abstractmethod
    def medium_tokens(self, grid: Grid) -> int:
        """Return the number of tokens that a medium adds to a prompt, as far as its grid tells."""

    def tokens(self, prompt: Prompt) -> int:
        """Return the length of a prompt in tokens."""
        return len(self.expanded(prompt))

    def padded(self, prompts: Sequence[Prompt]) -> dict[str, torch.Tensor]:
        """Expand prompts and pad them to one batch, as returned by `left_padded`."""
        rows = [self.expanded(prompt) for prompt in prompts]
        grids = ([grid for one in prompt.media for grid in self.position_grids(one)] for prompt in prompts)
        return left_padded(
            rows, [prompt_positions(row, some, self.rule) for row, some in zip(rows, grids, strict=True)]
        )


def placeholder_tokens(config: Any) -> dict[MediaKind, int]:
    """Return the token id of the placeholder of each kind of medium."""
    return {MediaKind.STILL: config.image_token_id, MediaKind.CLIP: config.video_token_id}
