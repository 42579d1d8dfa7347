"""Prompts to sampled tokens with their log-probabilities, by a transformers model on a CPU.

    tokens of one response = sample(softmax(logits / temperature)), by the response's own random numbers

Owns how a token is chosen for each response; the loop is `lmms_eval_shotbench.qwen.decoding`, which `shotvl` uses, too.
Unlike there, every row has sampling settings of its own, which the samplers of transformers do not take, and each token
comes with its log-probability. Where pixels and positions come from is `request_inputs.py`.

The log-probability of a token is the one the actor computes for it: of all ids, at the temperature of sampling, in
float32. Ids the tokenizer does not know and the marks of media are never sampled, for nothing stands behind them; they
keep their part of the probability all the same. To take it from them would make each log-probability larger than the
actor's by -log(1 - that part), a difference verl measures and corrects as if rollout and actor were two models. A
trained model gives them next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import torch

from lmms_eval_shotbench.qwen.decoding import Prefilled, Sampling, decode, draw, prefill
from lmms_eval_shotbench.qwen.inputs import left_padded


class ResponseSettings(NamedTuple):
    """How one response is sampled and where it ends; temperature 0 takes the likeliest token."""

    max_new_tokens: int
    sampling: Sampling
    stops: frozenset[int] = frozenset()

    def ends(self, token: int, tokens: int) -> bool:
        """Whether this token, the last of so many, ends the response."""
        return token in self.stops or tokens >= self.max_new_tokens


@dataclass(frozen=True, eq=False)
class ReadyPrompt:
    """A prompt as the model takes it."""

    ids: tuple[int, ...]
    positions: torch.Tensor  # (3, length + 1): time, height and width, with those of the first token to come
    media: dict[str, torch.Tensor]  # pixel values and grids by the model's parameter names


class SampleRequest(NamedTuple):
    """One response to one of the prompts, by its number."""

    prompt: int
    settings: ResponseSettings


class SampledResponse(NamedTuple):
    """Sampled tokens, a stop token included, and the log-probability of each."""

    ids: list[int]
    log_probs: list[float]


@torch.inference_mode()  # type: ignore[untyped-decorator]
def generate(
    model: Any, prompts: Sequence[ReadyPrompt], requests: Sequence[SampleRequest], never: torch.Tensor
) -> list[SampledResponse]:
    """Sample the responses; each prompt is prefilled once.

    Args:
        never: ids that are not sampled, as a mask over the vocabulary.
    """
    randoms = [Random(request.settings.sampling.seed) for request in requests]
    log_probs: list[list[float]] = [[] for _ in requests]
    batch = _prefilled(model, prompts)
    prompt_tokens = batch.ids.shape[1]
    batch.select([request.prompt for request in requests])

    def step(ids: torch.Tensor, logits: torch.Tensor, rows: list[int]) -> tuple[torch.Tensor, list[bool]]:
        settings = [requests[row].settings for row in rows]
        chosen, of_chosen = choose(logits, [one.sampling for one in settings], [randoms[row] for row in rows], never)
        for row, log_prob in zip(rows, of_chosen.tolist(), strict=True):
            log_probs[row].append(log_prob)
        longer = torch.cat([ids, chosen[:, None]], dim=1)
        tokens = longer.shape[1] - prompt_tokens
        return longer, [one.ends(token, tokens) for one, token in zip(settings, chosen.tolist(), strict=True)]

    answers = decode(model, batch, step)
    return [SampledResponse(ids, of_ids[: len(ids)]) for ids, of_ids in zip(answers, log_probs, strict=True)]


def choose(
    logits: torch.Tensor, samplings: Sequence[Sampling], randoms: Sequence[Random], never: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The next token of each row, by its own random numbers, and its log-probability; both of shape (rows,)."""
    temperatures = torch.tensor([[sampling.temperature or 1.0] for sampling in samplings])
    scores = logits.float() / temperatures
    allowed = scores.masked_fill(never, -torch.inf)
    if any(sampling.top_k > 0 or sampling.top_p < 1 for sampling in samplings):
        kept = _keep_likeliest(allowed, samplings)
        cut = torch.tensor([[sampling.top_k > 0 or sampling.top_p < 1] for sampling in samplings])
        scores, allowed = torch.where(cut, kept, scores), kept  # what is cut away on purpose has no probability
    greedy = torch.tensor([sampling.temperature == 0 for sampling in samplings])
    ids = torch.where(greedy, allowed.argmax(-1), draw(allowed, randoms))
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


def _prefilled(model: Any, prompts: Sequence[ReadyPrompt]) -> Prefilled:
    """A row for each prompt, all run in one pass: tiny models gain by it, and positions and pixels are the actor's."""
    batch = left_padded(
        [torch.tensor(prompt.ids) for prompt in prompts], [prompt.positions[:, :-1] for prompt in prompts]
    )
    media = {
        name: torch.cat([prompt.media[name] for prompt in prompts if name in prompt.media])
        for name in sorted({name for prompt in prompts for name in prompt.media})
    }
    ahead = torch.stack([prompt.positions[0, -1] for prompt in prompts])
    return prefill(model, batch, [batch | media], ahead)
