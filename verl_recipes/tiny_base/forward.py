"""A fast forward pass and loss on a CPU for batches whose media have one size; results equal those of transformers.

transformers loops over media and attention windows; here they are batched in one tensor. Each row consists of text, at
most one medium, and text; its positions are those of `lmms_eval_shotbench/qwen/rope_positions.py`. Attention uses plain
matrix products, which take half the time of PyTorch's fused kernel in bfloat16 on a CPU.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy, linear

from lmms_eval_shotbench.qwen.inputs import PatchRule
from lmms_eval_shotbench.qwen.rope_positions import Grid, PositionRule, time_positions
from verl_recipes.tiny_base.exercises import Exercise

IGNORED = -100  # label of a token that is excluded from the loss


class MediaBatch(NamedTuple):
    """A batch of media of one size, as pairs of frames with their time positions."""

    frames: torch.Tensor  # uint8 (media, pairs, 2, 3, height, width)
    times: torch.Tensor  # int64 (media, pairs), temporal rotary positions


class FastModel:
    """A model whose forward pass is specialized to batches of media of one size."""

    def __init__(
        self, model: Any, patches: PatchRule, positions: PositionRule, before: Sequence[int], pad: int
    ) -> None:
        """Patch the vision attention and patch embedding of `model`.

        Args:
            model: A Qwen2.5-VL; it must not be used with media of different sizes afterwards.
            patches: Patch size, merge size and normalization of its processor.
            positions: Its position rule.
            before: Token ids before the medium, the same in each row.
            pad: Id of the padding token.
        """
        self.model, self.patches, self.positions = model, patches, positions
        self._before, self._pad = torch.tensor(before), pad
        model.set_attn_implementation("eager")
        for block in model.model.visual.blocks:
            block.attn.forward = MethodType(_batched_attention, block.attn)
        embed = model.model.visual.patch_embed
        embed.forward = MethodType(_embed_patches, embed)

    def loss(self, exercises: Sequence[Exercise], media: MediaBatch | None) -> torch.Tensor:
        """Sum of the cross-entropy over all target tokens, divided by the number of exercises; float32 scalar.

        For an exercise with excluded tokens, -log(1 - p) is added, where p is their probability after the answer.

        Args:
            exercises: Exercises of the batch.
            media: One medium per exercise, or None for exercises without media.
        """
        texts = [exercise.prompt + exercise.answer for exercise in exercises]
        hidden, start = self.hidden(texts, [exercise.gap for exercise in exercises], media)
        labels = torch.full((len(texts), max(map(len, texts))), IGNORED)
        for row, one in enumerate(exercises):
            targets = [IGNORED if index in one.given else token for index, token in enumerate(one.answer)]
            labels[row, len(one.prompt) : len(one.prompt) + len(targets)] = torch.tensor(targets)
        predicting = hidden[:, start - 1 : -1]  # the state of a token predicts the next one
        learned = labels != IGNORED
        logits = self.model.lm_head(predicting[learned]).float()
        loss = cross_entropy(logits, labels[learned], reduction="sum")
        if rows := [row for row, one in enumerate(exercises) if one.excluded]:
            last = torch.tensor([start + len(texts[row]) - 1 for row in rows])
            after = self.model.lm_head(hidden[torch.tensor(rows), last]).float()
            loss = loss + exclusion_loss(after, [exercises[row].excluded for row in rows])
        return loss / len(texts)

    def hidden(
        self,
        texts: Sequence[Sequence[int]],
        gaps: Sequence[int],
        media: MediaBatch | None,
        owner: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, int]:
        """Last hidden states of right-padded rows.

        Args:
            texts: Token ids of each row after the medium.
            gaps: Number of rotary positions to skip before each text.
            media: One medium per text, or None.
            owner: Unused.

        Returns:
            Float (rows, length, width), and the index in `length` at which the texts start.
        """
        length = max(map(len, texts))
        after = torch.tensor([[*text, *[self._pad] * (length - len(text))] for text in texts])
        language = self.model.model.language_model
        parts = [language.embed_tokens(self._before).expand(len(texts), -1, -1)]
        middle = torch.empty((3, len(texts), 0), dtype=torch.long)
        if media is not None:
            parts.append(self.media_embeddings(media).to(parts[0].dtype))
            middle = self._media_positions(media)
        parts.append(language.embed_tokens(after))
        embedded = torch.cat(parts, dim=1)
        first = len(self._before)
        start = middle.amax(dim=(0, 2)) + 1 if media is not None else torch.full((len(texts),), first)
        tail = (start + torch.tensor(gaps))[None, :, None] + torch.arange(length)
        head = torch.arange(first).expand(3, len(texts), -1)
        positions = torch.cat([head, middle, tail.expand(3, -1, -1)], dim=2)
        states = language(inputs_embeds=embedded, position_ids=positions, use_cache=False).last_hidden_state
        return states, embedded.shape[1] - length

    def media_embeddings(self, media: MediaBatch) -> torch.Tensor:
        """Output of the vision tower, float (media, tokens per medium, width)."""
        count, pairs = media.frames.shape[:2]
        values, grid = self._patches(media.frames.flatten(0, 1))
        found = self.model.model.visual(values, torch.tensor([[count * pairs, *grid]])).pooler_output
        return found.view(count, -1, found.shape[-1])  # type: ignore[no-any-return]

    def _patches(self, frames: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        """Normalized patches (patches, values), by token, of uint8 (pairs, 2, 3, height, width), and their grid."""
        side, merge = self.patches.side, self.patches.merge
        mean, std = (torch.tensor(one).view(1, 1, -1, 1, 1) for one in (self.patches.mean, self.patches.std))
        pairs, _two, channels, height, width = frames.shape
        values = (frames.float() - mean) / std
        rows, columns = height // side // merge, width // side // merge
        values = values.view(pairs, 2, channels, rows, merge, side, columns, merge, side)
        values = values.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
        return values.reshape(pairs * rows * columns * merge**2, -1), (rows * merge, columns * merge)

    def _media_positions(self, media: MediaBatch) -> torch.Tensor:
        """Rotary positions (time, row, column) of media tokens, int64 (3, media, tokens)."""
        side = self.patches.side * self.patches.merge
        rows, columns = (size // side for size in media.frames.shape[-2:])
        count, pairs = media.times.shape
        shape = (count, pairs, rows, columns)
        time = media.times[:, :, None, None].expand(shape)
        row = torch.arange(rows)[None, None, :, None].expand(shape)
        column = torch.arange(columns).expand(shape)
        return torch.stack([time, row, column]).flatten(2) + len(self._before)


def exclusion_loss(logits: torch.Tensor, excluded: Sequence[Collection[int]]) -> torch.Tensor:
    """Sum over rows of -log(1 - p), where p is the total probability of the row's excluded tokens.

    Args:
        logits: Float (rows, vocabulary).
        excluded: Ids of the excluded tokens of each row.
    """
    allowed = logits.clone()
    for row, tokens in enumerate(excluded):
        allowed[row, list(tokens)] = -torch.inf
    return (logits.logsumexp(-1) - allowed.logsumexp(-1)).sum()


def pair_times(frames: int, fps: Fraction, rule: PositionRule) -> torch.Tensor:
    """Time position of each pair of frames, int64 (pairs,)."""
    return time_positions(Grid(-(-frames // rule.frames_a_patch), 0, 0, fps), rule)


def _embed_patches(self: Any, hidden_states: torch.Tensor) -> torch.Tensor:
    """The convolution over one patch as a linear layer, without the overhead of a convolution."""
    return linear(hidden_states, self.proj.weight.view(self.embed_dim, -1))


def _batched_attention(
    self: Any, hidden_states: torch.Tensor, cu_seqlens: torch.Tensor, *_unused: Any, **settings: Any
) -> torch.Tensor:
    """Attention within pictures that all have the same number of patches."""
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision

    patches, each = len(hidden_states), int(cu_seqlens[1] - cu_seqlens[0])
    query, key, value = self.qkv(hidden_states).view(patches, 3, self.num_heads, -1).unbind(1)
    query, key = apply_rotary_pos_emb_vision(query, key, *settings["position_embeddings"])
    query, key, value = (
        one.view(patches // each, each, self.num_heads, -1).transpose(1, 2).to(value.dtype)
        for one in (query, key, value)
    )
    weights = torch.softmax(query @ key.transpose(2, 3) * self.scaling, dim=-1).to(value.dtype)
    attended = (weights @ value).transpose(1, 2).reshape(patches, -1)
    return self.proj(attended)  # type: ignore[no-any-return]
