"""Decoding of a padded batch in which a finished row costs no more: greedy, or sampled by seed.

Prompts are read in groups as small as the caller likes and then answered together: reading gains nothing from company,
and a prompt read alone needs no mask, which halves its attention. `generate` of transformers keeps every row until the
last one has finished; here finished rows leave the batch. What a checkpoint's generation settings ask for besides
(penalties, forbidden tokens, where to stop) is prepared by `generate`, which calls this loop through its public
`custom_generate`.

Each row is sampled with random numbers of its own, so that what is drawn does not depend on the company it is in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, NamedTuple

import torch

WORTH_COMPACTING = 0.75  # of the rows still alive; below, copying the cache costs less than dragging the others along
Inputs = dict[str, torch.Tensor]


class Sampling(NamedTuple):
    """How to draw tokens, in the words of `generate`; the same `seed` draws the same response to the same chat."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0  # 0: all tokens
    seed: int = 0


def answer_batch(
    model: Any,
    batch: Inputs,
    groups: Iterable[Inputs],
    max_new_tokens: int,
    stops: Any = None,
    sampling: Sampling | None = None,
    draws: Sequence[Random] = (),
) -> list[list[int]]:
    """Return the new tokens of each row, the one that ended it included.

    Args:
        model: a Qwen2.5-VL of transformers.
        batch: `pad_batch` of all prompts, on the model's device.
        groups: the same rows in order, a few at a time: `pad_batch` and `vision_inputs` of these; made when needed.
        max_new_tokens: where a row is cut off.
        stops: a `StoppingCriteriaList` for rows that end before the end-of-text token.
        sampling: how to draw tokens; greedy without it, whatever the checkpoint's settings say.
        draws: where it is given, each row's random numbers.
    """

    def loop(model: Any, input_ids: torch.Tensor, logits_processor: Any, stopping_criteria: Any, **_given: Any) -> Any:
        return _decode(model, batch, groups, logits_processor, stopping_criteria, draws)

    with torch.inference_mode():
        return model.generate(  # type: ignore[no-any-return]
            **batch,
            stopping_criteria=stops,
            custom_generate=loop,
            max_new_tokens=max_new_tokens,
            do_sample=sampling is not None,
            temperature=sampling and sampling.temperature,
            top_p=sampling and sampling.top_p,
            top_k=sampling and sampling.top_k,
        )


def _decode(
    model: Any,
    batch: Inputs,
    groups: Iterable[Inputs],
    logits_processor: Any,
    stopping_criteria: Any,
    draws: Sequence[Random],
) -> list[list[int]]:
    """The loop `generate` calls."""
    input_ids, mask, positions = (batch[name] for name in ("input_ids", "attention_mask", "position_ids"))
    rows = list(range(len(input_ids)))  # which caller's row stands where in the batch
    prompt = input_ids.shape[1]
    answers: list[list[int]] = [[] for _ in rows]
    cache, logits = _read(model, groups, prompt)
    while True:
        scores = logits_processor(input_ids, logits.to(input_ids.device, torch.float32))
        chosen = _drawn(scores, [draws[row] for row in rows]) if draws else scores.argmax(dim=-1, keepdim=True)
        input_ids = torch.cat([input_ids, chosen], dim=1)
        done = stopping_criteria(input_ids, scores).tolist()
        for place, row in enumerate(rows):
            if done[place] and not answers[row]:
                answers[row] = input_ids[place, prompt:].tolist()
        alive = [place for place, row in enumerate(rows) if not answers[row]]
        if not alive:
            return answers
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        positions = positions.amax(dim=(0, 2), keepdim=True).expand(3, -1, 1) + 1
        if len(alive) <= WORTH_COMPACTING * len(rows):
            kept = torch.tensor(alive)  # on the CPU, from where it may index a cache spread over GPUs
            input_ids, mask, positions, chosen = input_ids[kept], mask[kept], positions[:, kept], chosen[kept]
            cache.batch_select_indices(kept)
            rows = [rows[place] for place in alive]
        step = {"input_ids": chosen, "attention_mask": mask, "position_ids": positions}
        logits = model(**step, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]


def _drawn(scores: torch.Tensor, draws: Sequence[Random]) -> torch.Tensor:
    """One token a row (rows, 1), by where a number from [0, 1) falls among the tokens' shares."""
    shares = scores.softmax(dim=-1, dtype=torch.float64).cumsum(dim=-1)
    numbers = torch.tensor([[row.random()] for row in draws], dtype=torch.float64, device=scores.device)
    return torch.searchsorted(shares, numbers * shares[:, -1:], right=True).clamp_(max=scores.shape[-1] - 1)


def _read(model: Any, groups: Iterable[Inputs], length: int) -> tuple[Any, torch.Tensor]:
    """Read the prompts group by group; return one cache, padded on the left to `length`, and each row's last logits."""
    from transformers import DynamicCache

    from lmms_eval_shotbench.qwen.kv_cache import joined

    caches, logits = [], []
    for group in groups:
        output = model(**group, past_key_values=DynamicCache(), use_cache=True, logits_to_keep=1)
        logits.append(output.logits[:, -1])
        caches.append(output.past_key_values)
        del group, output
    return joined(caches, length), torch.cat(logits)
