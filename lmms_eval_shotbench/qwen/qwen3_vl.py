"""Qwen3-VL: a clip is a row of pictures, each after its time in words.

    <0.0 seconds><|vision_start|> … <|vision_end|><0.2 seconds><|vision_start|> … <|vision_end|>

The time is that of the middle between the first and the last frame of a temporal patch, rounded to tenths. Rotary
positions know no time; those of the pictures are those of stills. Qwen3.5 has the same prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch

from lmms_eval_shotbench.qwen.architecture import Architecture, placeholder_tokens
from lmms_eval_shotbench.qwen.inputs import Patches, Prompt, patch_seconds
from lmms_eval_shotbench.qwen.rope_positions import Grid, PositionRule, tokens_of
from lmms_eval_shotbench.vocabulary import MediaKind


class Qwen3VL(Architecture):
    """Prompts of Qwen3-VL. Not thread-safe, as transformers' tokenizers are not."""

    clip_is_pictures = True

    def __init__(
        self, placeholders: dict[MediaKind, int], rule: PositionRule, tokenizer: Any, start: int, end: int
    ) -> None:
        """Prepare the layout.

        Args:
            placeholders: Token id of the placeholder of each kind of medium.
            rule: Rule of the rotary positions.
            tokenizer: Tokenizer of transformers.
            start: Token id before a picture.
            end: Token id after a picture.
        """
        super().__init__(placeholders, rule)
        self._tokenizer, self._start, self._end = tokenizer, start, end
        self._added_tokens = frozenset(tokenizer.get_added_vocab().values())
        self._known: dict[str, list[int]] = {}  # token ids by time in words

    @classmethod
    def of(cls, config: Any, processor: Any) -> Self:
        """Read the layout from a checkpoint's configuration and processor."""
        vision, placeholders = config.vision_config, placeholder_tokens(config)
        rule = PositionRule(frozenset(placeholders.values()), vision.spatial_merge_size, 0, vision.temporal_patch_size)
        return cls(placeholders, rule, processor.tokenizer, config.vision_start_token_id, config.vision_end_token_id)

    def expanded(self, prompt: Prompt) -> torch.Tensor:
        """Repeat the placeholder of a still for each of its tokens, and write a clip as a row of pictures.

        Returns:
            Token ids, int64 (length,).

        Raises:
            ValueError: The placeholder of a clip is not between the tokens that begin and end a picture.
        """
        media, ids = iter(prompt.media), list[int]()
        for index, token in enumerate(prompt.ids):
            if token == self.placeholders[MediaKind.STILL]:
                ids += [token] * tokens_of(next(media).grid, self.rule.merge)
            elif token == self.placeholders[MediaKind.CLIP]:
                if ids[-1:] != [self._start] or list(prompt.ids[index + 1 : index + 2]) != [self._end]:
                    raise ValueError(
                        f"the placeholder of a clip (token {token}) must be between the tokens {self._start} and "
                        f"{self._end}; correct the checkpoint's chat template"
                    )
                ids = self._with_clip(ids[:-1], next(media))
            else:
                ids.append(token)
        return torch.tensor(ids)

    def position_grids(self, medium: Patches) -> Sequence[Grid]:
        """Return a grid for each picture of a clip, or that of a still."""
        return [Grid(1, medium.grid.height, medium.grid.width)] * medium.grid.time

    def medium_tokens(self, grid: Grid) -> int:
        """Return the number of tokens of a medium with the words and tokens around its pictures.

        The times of a clip's frames are taken to be evenly spaced.
        """
        if not grid.fps:
            return tokens_of(grid, self.rule.merge)
        seconds = patch_seconds(range(grid.time * self.rule.frames_a_patch), grid.fps, self.rule.frames_a_patch)
        times = sum(len(self._ids_of(time_in_words(one))) for one in seconds)
        return tokens_of(grid, self.rule.merge) + times + 2 * (grid.time - 1)

    def _with_clip(self, before: list[int], clip: Patches) -> list[int]:
        """Return the token ids before a clip and those of the clip, without the one that ends its last picture."""
        patches = tokens_of(clip.grid, self.rule.merge) // clip.grid.time
        picture = [self._start] + [self.placeholders[MediaKind.CLIP]] * patches
        first, *others = map(time_in_words, clip.seconds)
        ids = self._continued(before, first) + picture
        for words in others:
            ids += [self._end, *self._ids_of(words), *picture]
        return ids

    def _continued(self, ids: list[int], text: str) -> list[int]:
        """Append text to token ids as if all had been tokenized together: a token may span the seam."""
        seam = next((index + 1 for index in reversed(range(len(ids))) if ids[index] in self._added_tokens), 0)
        return ids[:seam] + self._tokenized(self._tokenizer.decode(ids[seam:]) + text)

    def _ids_of(self, words: str) -> list[int]:
        if words not in self._known:
            self._known[words] = self._tokenized(words)
        return self._known[words]

    def _tokenized(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[no-any-return]


def time_in_words(seconds: float) -> str:
    """Return the time of a temporal patch as the processor writes it into a prompt."""
    return f"<{seconds:.1f} seconds>"
