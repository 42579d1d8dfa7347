"""Check the longest rows against the length limits of the configuration.

A prompt with media cannot be truncated. GRPO fails at such a row in the middle of a run, and so does SFT with
`data.truncation=error`; with other values SFT cuts off media placeholders or the answer. So no row may exceed the
limits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmms_eval_shotbench.vocabulary import MediaKind
from verl_recipes.preflight.problem import Problem
from verl_recipes.preflight.prompt_lengths import Ruler, Shapes
from verl_recipes.preflight.training_files import TrainingRow

if TYPE_CHECKING:
    from omegaconf import DictConfig

MEASURED = 3  # number of longest rows per media kind that are measured with the processor


@dataclass(frozen=True)
class Longest:
    """The longest row, with its number of tokens and how many of them are media tokens."""

    tokens: int
    row: TrainingRow
    media_tokens: int

    def __str__(self) -> str:
        media = ", ".join(medium.path for medium in self.row.media) or "no medium"
        return f"{self.row.location}: {self.tokens:,} tokens, {self.media_tokens:,} of them for {media}"


def longest_row(rows: Sequence[TrainingRow], shapes: Shapes, ruler: Ruler) -> Longest | None:
    """Find the longest row by the formula of `Ruler`, then measure the candidates; None if there are no rows."""
    by_length = sorted(zip(ruler.lengths(rows, shapes), rows, strict=True), key=lambda pair: -pair[0])
    candidates = []
    for kind in (MediaKind.STILL, MediaKind.CLIP, None):
        of_kind = [row for _, row in by_length if _kind(row) is kind]
        for row in of_kind[:MEASURED]:
            candidates.append(Longest(ruler.measured(row, shapes), row, ruler.media_tokens(row, shapes)))
    return max(candidates, key=lambda candidate: candidate.tokens, default=None)


def _kind(row: TrainingRow) -> MediaKind | None:
    return row.media[0].kind if row.media else None


def length_limit(config: DictConfig, method: str) -> int:
    """Maximum number of tokens of a row that the configuration permits, for GRPO without a response."""
    return int(config.actor_rollout_ref.rollout.prompt_length if method == "grpo" else config.data.max_length)


def length_problems(config: DictConfig, method: str, longest: Longest, context: int | None) -> Iterator[Problem]:
    """Yield a problem for each limit of the configuration that the longest row exceeds.

    Args:
        config: Composed configuration of the run.
        method: `sft`, `cot_sft` or `grpo`.
        longest: The longest row, for GRPO without a response.
        context: `max_position_embeddings` of the model, or None if unknown.
    """
    if method == "grpo":
        yield from _rollout_problems(config, longest, context)
        return
    data = config.data
    if longest.tokens > data.max_length:
        yield _too_long(longest, "data.max_length", data.max_length, longest.tokens)
    if data.get("use_dynamic_bsz"):
        limit = data.max_token_len_per_gpu * config.engine.get("ulysses_sequence_parallel_size", 1)
        if longest.tokens > limit:
            yield _too_long(longest, "data.max_token_len_per_gpu", limit, longest.tokens)


def _rollout_problems(config: DictConfig, longest: Longest, context: int | None) -> Iterator[Problem]:
    rollout, actor = config.actor_rollout_ref.rollout, config.actor_rollout_ref.actor
    answered = longest.tokens + rollout.response_length
    if longest.tokens > rollout.prompt_length:
        yield _too_long(longest, "data.max_prompt_length", rollout.prompt_length, longest.tokens)
    model_limit, name = rollout.get("max_model_len") or context, "actor_rollout_ref.rollout.max_model_len"
    if model_limit and answered > model_limit:
        yield _too_long(longest, f"{name} (prompt and response)", model_limit, answered)
    if actor.use_dynamic_bsz:
        limit = actor.ppo_max_token_len_per_gpu * actor.get("ulysses_sequence_parallel_size", 1)
        if answered > limit:
            name = "actor_rollout_ref.actor.ppo_max_token_len_per_gpu"
            yield _too_long(longest, f"{name} (prompt and response)", limit, answered)


def _too_long(longest: Longest, name: str, limit: int, needed: int) -> Problem:
    what = f"the longest row does not fit: {name} is {limit:,}, {needed:,} is the minimum that fits"
    return Problem(what, str(longest), "Raise the limit to it, or lower the maximum pixels or frames per second")
