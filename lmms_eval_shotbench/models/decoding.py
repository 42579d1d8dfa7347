"""Greedy decoding of a padded batch in which a finished row costs no more.

`generate` of transformers keeps every row until the last one has finished; here finished rows leave the batch. What a
checkpoint's generation settings ask for besides (penalties, forbidden tokens, where to stop) is prepared by `generate`
itself, which calls this loop through its public `custom_generate`.
"""

from __future__ import annotations

from typing import Any

import torch

WORTH_COMPACTING = 0.75  # of the rows still alive; below, copying the cache costs less than dragging the others along


def answer_batch(
    model: Any, inputs: dict[str, torch.Tensor], max_new_tokens: int, stops: Any = None
) -> list[list[int]]:
    """Return the new tokens of each row, the one that ended it included.

    Args:
        model: a Qwen2.5-VL of transformers.
        inputs: `pad_batch` and `vision_inputs` together, on the model's device.
        max_new_tokens: where a row is cut off.
        stops: a `StoppingCriteriaList` for rows that end before the end-of-text token.
    """

    def loop(model: Any, input_ids: torch.Tensor, logits_processor: Any, stopping_criteria: Any, **given: Any) -> Any:
        return _greedy(model, inputs, logits_processor, stopping_criteria, given["past_key_values"])

    with torch.inference_mode():
        return model.generate(  # type: ignore[no-any-return]
            **inputs,
            stopping_criteria=stops,
            custom_generate=loop,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
        )


def _greedy(
    model: Any, inputs: dict[str, torch.Tensor], logits_processor: Any, stopping_criteria: Any, cache: Any
) -> list[list[int]]:
    """The loop `generate` calls: greedy, whatever the checkpoint's settings say about sampling."""
    input_ids, mask, positions = (inputs[name] for name in ("input_ids", "attention_mask", "position_ids"))
    step = {name: values for name, values in inputs.items() if name not in ("attention_mask", "position_ids")}
    rows = list(range(len(input_ids)))  # which caller's row stands where in the batch
    prompt = input_ids.shape[1]
    answers: list[list[int]] = [[] for _ in rows]
    while True:
        output = model(
            **step,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        scores = logits_processor(input_ids, output.logits[:, -1].to(input_ids.device, torch.float32))
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
        step = {"input_ids": chosen}
