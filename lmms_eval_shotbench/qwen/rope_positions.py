"""Rotary positions of a Qwen2.5-VL prompt, ours in every version of transformers.

A token has three positions: time, row, column. Text counts on in all three. A still stands at one time; in a clip the
time of temporal patch t is floor(t * tokens_per_second * temporal_patch_size / fps), and what follows a medium starts
one above the highest position in it (Qwen2.5-VL technical report, arXiv 2502.13923, section 2.1.2, and the rule of the
release's own code).

transformers gets this wrong, which is why it is not asked. Up to 5.10 the step is cut to a whole number of seconds, so
above 2 frames a second all frames stand at one time; in 5.5 they do so at any rate. And in all of 5.x so far, what
follows a clip ignores its length in time, so that after a long clip the question shares positions with frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch


class Grid(NamedTuple):
    """Patches of a medium: temporal, rows, columns; and the frames a second it was sampled at (0 for a still)."""

    time: int
    height: int
    width: int
    fps: float = 0.0

    @property
    def patches(self) -> int:
        """How many patches the vision tower reads."""
        return self.time * self.height * self.width


class PositionRule(NamedTuple):
    """What of a checkpoint's configuration decides its positions."""

    media_tokens: frozenset[int]
    merge: int  # patches a side that become one token
    tokens_per_second: float
    frames_a_patch: int


def tokens_of(grid: Grid, merge: int) -> int:
    """Tokens a medium takes in the prompt."""
    return grid.patches // merge**2


def time_positions(grid: Grid, rule: PositionRule) -> torch.Tensor:
    """Time of each temporal patch, counted from the first; shape (grid.time,)."""
    if not grid.fps:
        return torch.zeros(grid.time, dtype=torch.long)
    # Multiplied before it is divided: 3 * 4 / 12 is 1, while 3 * (4 / 12) may be a hair below.
    ticks = torch.arange(grid.time, dtype=torch.float64) * rule.tokens_per_second * rule.frames_a_patch
    return (ticks / grid.fps).floor().long()


def prompt_positions(ids: torch.Tensor, grids: Sequence[Grid], rule: PositionRule) -> torch.Tensor:
    """Positions of one prompt without padding: ids of shape (length,) give (3, length), media in order of `grids`."""
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
    """Yield (whether media, length) of each stretch; two media side by side are one stretch."""
    of_media = torch.isin(ids, torch.tensor(sorted(rule.media_tokens)))
    kinds, lengths = torch.unique_consecutive(of_media, return_counts=True)
    yield from zip(kinds.tolist(), lengths.tolist(), strict=True)
