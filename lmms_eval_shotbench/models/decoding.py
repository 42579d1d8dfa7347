"""Greedy decoding of a padded batch in which a finished row costs no more.

Prompts are read in groups as small as the caller likes and then answered together: reading gains nothing from company,
and a prompt read alone needs no mask, which halves its attention. `generate` of transformers keeps every row until the
last one has finished; here finished rows leave the batch. What a checkpoint's generation settings ask for besides
(penalties, forbidden tokens, where to stop) is prepared by `generate`, which calls this loop through its public
`custom_generate`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

WORTH_COMPACTING = 0.75  # of the rows still alive; below, copying the cache costs less than dragging the others along
Inputs = dict[str, torch.Tensor]


def answer_batch(
    model: Any, batch: Inputs, groups: Iterable[Inputs], max_new_tokens: int, stops: Any = None
) -> list[list[int]]:
    """Return the new tokens of each row, the one that ended it included.

    Args:
        model: a Qwen2.5-VL of transformers.
        batch: `pad_batch` of all prompts, on the model's device.
        groups: the same rows in order, a few at a time: `pad_batch` and `vision_inputs` of these; made when needed.
        max_new_tokens: where a row is cut off.
        stops: a `StoppingCriteriaList` for rows that end before the end-of-text token.
    """

    def loop(model: Any, input_ids: torch.Tensor, logits_processor: Any, stopping_criteria: Any, **_given: Any) -> Any:
        return _greedy(model, batch, groups, logits_processor, stopping_criteria)

    with torch.inference_mode():
        return model.generate(  # type: ignore[no-any-return]
            **batch,
            stopping_criteria=stops,
            custom_generate=loop,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
        )


def _greedy(
    model: Any, batch: Inputs, groups: Iterable[Inputs], logits_processor: Any, stopping_criteria: Any
) -> list[list[int]]:
    """The loop `generate` calls: greedy, whatever the checkpoint's settings say about sampling."""
    input_ids, mask, positions = (batch[name] for name in ("input_ids", "attention_mask", "position_ids"))
    rows = list(range(len(input_ids)))  # which caller's row stands where in the batch
    prompt = input_ids.shape[1]
    answers: list[list[int]] = [[] for _ in rows]
    cache, logits = _read(model, groups, prompt)
    while True:
        scores = logits_processor(input_ids, logits.to(input_ids.device, torch.float32))
        chosen = scores.argmax(dim=-1, keepdim=True)
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


def _read(model: Any, groups: Iterable[Inputs], length: int) -> tuple[Any, torch.Tensor]:
    """Read the prompts group by group; return one cache, padded on the left to `length`, and each row's last logits."""
    from transformers import DynamicCache

    layers: list[list[tuple[torch.Tensor, torch.Tensor]]] = []
    logits = []
    for group in groups:
        output = model(**group, past_key_values=DynamicCache(), use_cache=True, logits_to_keep=1)
        logits.append(output.logits[:, -1])
        layers.append(
            [(_widened(one.keys, length), _widened(one.values, length)) for one in output.past_key_values.layers]
        )
        del group, output
    cache = DynamicCache()
    for number, parts in enumerate(zip(*layers, strict=True)):
        keys, values = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        cache.update(keys, values, number)
    return cache, torch.cat(logits)


def _widened(states: torch.Tensor, length: int) -> torch.Tensor:
    """Keys or values (rows, heads, tokens, size) with padding on the left; it is masked."""
    return torch.nn.functional.pad(states, (0, 0, length - states.shape[2], 0))
