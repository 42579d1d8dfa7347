"""Rotary positions of a Qwen2.5-VL prompt, computed here for every version of transformers.

A token has three positions: time, row, column. Text increments all three. A still has a single time; in a clip the time
of temporal patch t is floor(t * tokens_per_second * temporal_patch_size / fps), and the tokens after a medium start one
above its highest position (Qwen2.5-VL technical report, arXiv 2502.13923, section 2.1.2, and the code of
the release). Times are computed in exact fractions: with a rounded frame rate, a time that is a whole number could
become the number below it.

The positions of transformers are wrong and therefore not used. Up to 5.10 the time step is truncated to an integer, so
that above 2 frames a second all frames have the same time; in 5.5 they do at any rate. In all of 5.x so far, positions
after a clip ignore its duration, so that after a long clip the question shares positions with frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import torch


class Grid(NamedTuple):
    """Patch grid of a medium (temporal, rows, columns) and its exact sampled frames per second (0 for a still)."""

    time: int
    height: int
    width: int
    fps: Fraction = Fraction(0)

    @property
    def patches(self) -> int:
        """Number of patches in the vision tower."""
        return self.time * self.height * self.width


class PositionRule(NamedTuple):
    """The part of a checkpoint's configuration that determines positions."""

    media_tokens: frozenset[int]
    merge: int  # patches per token side
    tokens_per_second: float
    frames_a_patch: int  # frames per temporal patch


def tokens_of(grid: Grid, merge: int) -> int:
    """Return the number of prompt tokens of a medium."""
    return grid.patches // merge**2


def time_positions(grid: Grid, rule: PositionRule) -> torch.Tensor:
    """Return the time position of each temporal patch relative to the first, int64 of shape (grid.time,)."""
    if not grid.fps:
        return torch.zeros(grid.time, dtype=torch.long)
    step = Fraction(rule.tokens_per_second) * rule.frames_a_patch / Fraction(grid.fps)
    return torch.tensor([t * step.numerator // step.denominator for t in range(grid.time)], dtype=torch.long)


def prompt_positions(ids: torch.Tensor, grids: Sequence[Grid], rule: PositionRule) -> torch.Tensor:
    """Return the positions (3, length) of an unpadded prompt's ids (length,); `grids` are its media in order."""
    parts: list[torch.Tensor] = []
    media = iter(grids)
    start = 0
    for is_medium, length in _runs(ids, rule):
        while length > 0:
            part = _medium_positions(next(media), rule) if is_medium else torch.arange(length).expand(3, length)
            parts.append(part + start)
            start = int(parts[-1].max()) + 1
            length -= part.shape[1]
    return torch.cat(parts, dim=1)


def _medium_positions(grid: Grid, rule: PositionRule) -> torch.Tensor:
    rows, columns = grid.height // rule.merge, grid.width // rule.merge
    axes = (time_positions(grid, rule), torch.arange(rows), torch.arange(columns))
    return torch.stack([axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij")])


def _runs(ids: torch.Tensor, rule: PositionRule) -> Iterator[tuple[bool, int]]:
    """Yield (is media, length) of each run of text or media tokens; adjacent media are one run."""
    is_media = torch.isin(ids, torch.tensor(sorted(rule.media_tokens)))
    kinds, lengths = torch.unique_consecutive(is_media, return_counts=True)
    yield from zip(kinds.tolist(), lengths.tolist(), strict=True)
