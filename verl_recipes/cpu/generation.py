"""Prompts to sampled tokens with their log-probabilities, by a transformers model on a CPU.

    tokens of one response = sample(softmax(logits / temperature)), by the response's own random numbers

Owns the decoding loop. Prompts are read once, whatever the number of responses asked for: vision towers and long
prompts cost more than a tiny model's answers. `model.generate` can neither do that nor give each response a seed.
Where pixels and positions come from is `request_inputs.py`.

The log-probability of a token is the one the actor computes for it: of all ids, at the temperature of sampling, in
float32. Ids the tokenizer does not know and the marks of media are never sampled, for nothing stands behind them; they
keep their part of the probability all the same. To take it from them would make each log-probability larger than the
actor's by -log(1 - that part), a difference verl measures and corrects as if rollout and actor were two models. A
trained model gives them next to nothing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch


@dataclass(frozen=True)
class Sampling:
    """How one response is sampled; temperature 0 takes the likeliest token."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0  # 0: all tokens
    seed: int = 0
    stops: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class ReadyPrompt:
    """A prompt as the model takes it."""

    ids: tuple[int, ...]
    positions: torch.Tensor  # (3, length + 1): time, height and width, with those of the first token to come
    media: dict[str, torch.Tensor]  # pixel values and grids by the model's parameter names


@dataclass(frozen=True, eq=False)
class Wish:
    """One response to one of the prompts."""

    prompt: int
    sampling: Sampling


class Response(NamedTuple):
    """Sampled tokens, a stop token included, and the log-probability of each."""

    ids: list[int]
    log_probs: list[float]


@torch.inference_mode()  # type: ignore[untyped-decorator]
def generate(model: Any, prompts: Sequence[ReadyPrompt], wishes: Sequence[Wish], never: torch.Tensor) -> list[Response]:
    """Sample the responses; prompts are read once each.

    Args:
        never: ids that are not sampled, as a mask over the vocabulary.
    """
    batch = _read(model, prompts, [wish.prompt for wish in wishes])
    responses = [Response([], []) for _ in wishes]
    dice = [random.Random(wish.sampling.seed) for wish in wishes]
    running = list(range(len(wishes)))
    while True:
        samplings = [wishes[number].sampling for number in running]
        ids, log_probs = choose(batch.logits, samplings, [dice[number].random() for number in running], never)
        going_on = []
        for row, number in enumerate(running):
            responses[number].ids.append(int(ids[row]))
            responses[number].log_probs.append(float(log_probs[row]))
            if not _is_complete(responses[number], samplings[row]):
                going_on.append(row)
        if not going_on:
            return responses
        running = [running[row] for row in going_on]
        batch.advance(model, ids, going_on)


def _is_complete(response: Response, sampling: Sampling) -> bool:
    return response.ids[-1] in sampling.stops or len(response.ids) >= sampling.max_tokens


def choose(
    logits: torch.Tensor, samplings: Sequence[Sampling], dice: Sequence[float], never: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The next token of each row and its log-probability.

    A number of the dice picks the token whose share of the cumulated probabilities it falls into, so a response's
    tokens hang on its own numbers, not on the rows beside it.
    """
    temperatures = torch.tensor([[sampling.temperature or 1.0] for sampling in samplings])
    scores = logits.float() / temperatures
    allowed = scores.masked_fill(never, -torch.inf)
    if any(sampling.top_k > 0 or sampling.top_p < 1 for sampling in samplings):
        kept = _keep_likeliest(allowed, samplings)
        cut = torch.tensor([[sampling.top_k > 0 or sampling.top_p < 1] for sampling in samplings])
        scores, allowed = torch.where(cut, kept, scores), kept  # what is cut away on purpose has no probability
    shares = allowed.double().softmax(-1).cumsum(-1)
    aims = torch.tensor(dice, dtype=torch.double)[:, None] * shares[:, -1:]
    sampled = torch.searchsorted(shares, aims, right=True)[:, 0].clamp(max=shares.shape[1] - 1)
    greedy = torch.tensor([sampling.temperature == 0 for sampling in samplings])
    ids = torch.where(greedy, allowed.argmax(-1), sampled)
    return ids, scores.log_softmax(-1).gather(1, ids[:, None])[:, 0]


def _keep_likeliest(scores: torch.Tensor, samplings: Sequence[Sampling]) -> torch.Tensor:
    """Drop what lies beyond top_k tokens, or beyond the fewest tokens that hold top_p of the probability."""
    size = scores.shape[1]
    counts = torch.tensor([[sampling.top_k if sampling.top_k > 0 else size] for sampling in samplings])
    parts = torch.tensor([[sampling.top_p] for sampling in samplings], dtype=torch.double)
    ordered, order = scores.sort(dim=-1, descending=True, stable=True)
    ranks = torch.arange(size)
    ordered = ordered.masked_fill(ranks >= counts, -torch.inf)
    probabilities = ordered.double().softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    ordered = ordered.masked_fill((before >= parts) & (ranks > 0), -torch.inf)
    return torch.empty_like(scores).scatter(1, order, ordered)


@dataclass(eq=False)
class _Batch:
    """Rows being decoded: what was read of each, and the logits of its next token."""

    cache: Any
    mask: torch.Tensor
    ahead: torch.Tensor  # position of the next token, the same on all three axes
    logits: torch.Tensor

    def select(self, rows: torch.Tensor) -> None:
        self.cache.batch_select_indices(rows)
        self.mask, self.ahead, self.logits = self.mask[rows], self.ahead[rows], self.logits[rows]

    def advance(self, model: Any, ids: torch.Tensor, rows: list[int]) -> None:
        """Read the tokens just sampled, in the rows that go on."""
        if len(rows) < len(ids):
            self.select(torch.tensor(rows))
            ids = ids[rows]
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(ids), 1)], 1)
        output = model(
            input_ids=ids[:, None],
            attention_mask=self.mask,
            position_ids=self.ahead.expand(3, -1)[..., None],
            past_key_values=self.cache,
            use_cache=True,
        )
        self.ahead, self.logits = self.ahead + 1, output.logits[:, -1]


def _read(model: Any, prompts: Sequence[ReadyPrompt], rows: list[int]) -> _Batch:
    """Read each prompt once, padded on the left, and make a row of it for each of its responses."""
    longest = max(len(prompt.ids) for prompt in prompts)
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    positions = torch.zeros(3, len(prompts), longest, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        place = slice(longest - len(prompt.ids), longest)
        ids[row, place], mask[row, place] = torch.tensor(prompt.ids), 1
        positions[:, row, place] = prompt.positions[:, :-1]
    media = {
        name: torch.cat([prompt.media[name] for prompt in prompts if name in prompt.media])
        for name in sorted({name for prompt in prompts for name in prompt.media})
    }
    output = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1, **media
    )
    ahead = torch.stack([prompt.positions[0, -1] for prompt in prompts])
    batch = _Batch(output.past_key_values, mask, ahead, output.logits[:, -1])
    batch.select(torch.tensor(rows))
    return batch
