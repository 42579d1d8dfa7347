"""Sample responses with a transformers model on a CPU, and return the log-probability of each token.

    token ~ softmax(logits / temperature), with one random generator per response

This module samples the tokens; the decoding loop is `lmms_eval_shotbench.qwen.decoding`, which `shotvl` also uses.
Unlike in transformers' `generate`, each row has its own sampling settings. Pixel values and positions come from
`request_inputs.py`.

Log-probabilities are computed as the actor computes them: over all token ids, at the sampling temperature, in float32.
Ids unknown to the tokenizer and media placeholders are never sampled, but are not removed from the softmax. Without
them, each log-probability would be larger than the actor's by -log(1 - their probability), and verl would measure and
correct the difference as a mismatch between rollout and actor. In a trained model their probability is almost zero.
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
    """Sampling and stop settings of one response; a temperature of 0 means greedy decoding."""

    max_new_tokens: int
    sampling: Sampling
    stops: frozenset[int] = frozenset()  # ids of stop tokens

    def ends(self, token: int, tokens: int) -> bool:
        """Whether a response ends with `token`, its last of `tokens` tokens so far."""
        return token in self.stops or tokens >= self.max_new_tokens


@dataclass(frozen=True, eq=False)
class ReadyPrompt:
    """Model inputs of a prompt."""

    ids: tuple[int, ...]
    positions: torch.Tensor  # int64 (3, length + 1): time, height and width, including the first new token
    media: dict[str, torch.Tensor]  # pixel values and grids, by the names of the model's forward arguments


class SampleRequest(NamedTuple):
    """A request for one response; `prompt` is the index of the prompt in the batch."""

    prompt: int
    settings: ResponseSettings


class SampledResponse(NamedTuple):
    """Sampled token ids, including the stop token if there is one, and the log-probability of each."""

    ids: list[int]
    log_probs: list[float]


@torch.inference_mode()  # type: ignore[untyped-decorator]
def generate(
    model: Any, prompts: Sequence[ReadyPrompt], requests: Sequence[SampleRequest], suppressed: torch.Tensor
) -> list[SampledResponse]:
    """Sample one response per request, in the order of the requests; each prompt is prefilled once.

    Args:
        model: A transformers Qwen-VL model.
        prompts: Distinct prompts of the batch.
        requests: Requests, several of which may have the same prompt.
        suppressed: bool (vocabulary,), True for ids that are never sampled.
    """
    randoms = [Random(request.settings.sampling.seed) for request in requests]
    log_probs: list[list[float]] = [[] for _ in requests]
    batch = _prefilled(model, prompts)
    prompt_tokens = batch.ids.shape[1]
    batch.select([request.prompt for request in requests])

    def step(ids: torch.Tensor, logits: torch.Tensor, rows: list[int]) -> tuple[torch.Tensor, list[bool]]:
        settings = [requests[row].settings for row in rows]
        chosen, of_chosen = sample_tokens(
            logits, [one.sampling for one in settings], [randoms[row] for row in rows], suppressed
        )
        for row, log_prob in zip(rows, of_chosen.tolist(), strict=True):
            log_probs[row].append(log_prob)
        longer = torch.cat([ids, chosen[:, None]], dim=1)
        tokens = longer.shape[1] - prompt_tokens
        return longer, [one.ends(token, tokens) for one, token in zip(settings, chosen.tolist(), strict=True)]

    answers = decode(model, batch, step)
    return [SampledResponse(ids, of_ids[: len(ids)]) for ids, of_ids in zip(answers, log_probs, strict=True)]


def sample_tokens(
    logits: torch.Tensor, samplings: Sequence[Sampling], randoms: Sequence[Random], suppressed: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample the next token of each row.

    Args:
        logits: Float (rows, vocabulary).
        samplings: Sampling settings of each row.
        randoms: Random generator of each row.
        suppressed: bool (vocabulary,), True for ids that are never sampled.

    Returns:
        Ids, int64 (rows,), and their log-probabilities, float32 (rows,).
    """
    temperatures = torch.tensor([[sampling.temperature or 1.0] for sampling in samplings])
    scores = logits.float() / temperatures
    allowed = scores.masked_fill(suppressed, -torch.inf)
    if any(sampling.top_k > 0 or sampling.top_p < 1 for sampling in samplings):
        kept = _keep_likeliest(allowed, samplings)
        truncated = torch.tensor([[sampling.top_k > 0 or sampling.top_p < 1] for sampling in samplings])
        scores, allowed = torch.where(truncated, kept, scores), kept  # ids beyond top_k or top_p have no probability
    greedy = torch.tensor([sampling.temperature == 0 for sampling in samplings])
    ids = torch.where(greedy, allowed.argmax(-1), draw(allowed, randoms))
    return ids, scores.log_softmax(-1).gather(1, ids[:, None])[:, 0]


def _keep_likeliest(scores: torch.Tensor, samplings: Sequence[Sampling]) -> torch.Tensor:
    """Set scores to -inf, except for the top_k ids and the smallest set of ids whose probabilities sum to top_p."""
    size = scores.shape[1]
    counts = torch.tensor([[sampling.top_k if sampling.top_k > 0 else size] for sampling in samplings])
    shares = torch.tensor([[sampling.top_p] for sampling in samplings], dtype=torch.double)
    ordered, order = scores.sort(dim=-1, descending=True, stable=True)
    ranks = torch.arange(size)
    ordered = ordered.masked_fill(ranks >= counts, -torch.inf)
    probabilities = ordered.double().softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    ordered = ordered.masked_fill((before >= shares) & (ranks > 0), -torch.inf)
    return torch.empty_like(scores).scatter(1, order, ordered)


def _prefilled(model: Any, prompts: Sequence[ReadyPrompt]) -> Prefilled:
    """Prefill all prompts in one pass, one row per prompt, with the positions and pixels of the actor."""
    batch = left_padded(
        [torch.tensor(prompt.ids) for prompt in prompts], [prompt.positions[:, :-1] for prompt in prompts]
    )
    media = {
        name: torch.cat([prompt.media[name] for prompt in prompts if name in prompt.media])
        for name in sorted({name for prompt in prompts for name in prompt.media})
    }
    ahead = torch.stack([prompt.positions[0, -1] for prompt in prompts])
    return prefill(model, batch, [batch | media], ahead)
