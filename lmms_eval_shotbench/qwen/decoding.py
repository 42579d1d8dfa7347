"""Batched decoding with a Qwen-VL, for the model `shotvl` and for the CPU rollout of training.

    prefill   prompts, a group at a time, into one padded cache
    decode    one token per row at a time, until each row has ended; finished rows are removed from the batch
    draw      sample one token per row from the row's own random numbers, independent of the other rows

`generate` of transformers keeps every row until the last one has finished, prefills a prompt again for each of its
responses, and samples from one random state for the complete batch. The two callers differ in how a token is chosen and
when a row ends, and pass that as a `Step`:

- `shotvl` (`answer_batch`) follows the checkpoint's generation settings (penalties, suppressed tokens, stopping),
  which `generate` prepares and passes to the loop through its public `custom_generate`. All rows share one sampling
  setting.
- the rollout (`verl_recipes/cpu/generation.py`) samples each row with its own settings and returns log-probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import torch

WORTH_COMPACTING = 0.75  # fraction of active rows; below it, copying the cache costs less than keeping finished rows
Inputs = dict[str, torch.Tensor]


class Sampling(NamedTuple):
    """Sampling settings, named as in `generate`; the same `seed` draws the same response to the same chat."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0  # 0: all tokens
    seed: int = 0


@dataclass(eq=False)
class Prefilled:
    """State of decoding a batch. `advance` adds the last token of `ids`, once appended, to the cache and the mask."""

    cache: Any
    ids: torch.Tensor  # (rows, tokens), padded on the left
    mask: torch.Tensor  # (rows, tokens): attention mask of the tokens in the cache
    ahead: torch.Tensor  # (rows,): position of the next token, the same on all three axes
    logits: torch.Tensor  # (rows, vocabulary) of the next token

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may be repeated."""
        kept = torch.tensor(rows)  # on the CPU, where it can index a cache distributed over GPUs
        self.cache.batch_select_indices(kept)
        self.ids, self.mask, self.ahead = self.ids[kept], self.mask[kept], self.ahead[kept]
        self.logits = self.logits[kept]

    def advance(self, model: Any) -> None:
        """Run the model on the last token of each row."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], dim=1)
        output = model(
            input_ids=self.ids[:, -1:],
            attention_mask=self.mask,
            position_ids=self.ahead.expand(3, -1)[..., None],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.ahead, self.logits = self.ahead + 1, output.logits[:, -1]


# Chooses the next token of each row. Arguments: tokens so far (rows, tokens), logits of the next one (rows, vocabulary)
# and each row's index among the prefilled rows. Returns the tokens with the next one appended, and whether each row has
# ended. An ended row stays in the batch until the batch is compacted; its further tokens are ignored.
Step = Callable[[torch.Tensor, torch.Tensor, list[int]], tuple[torch.Tensor, list[bool]]]


def prefill(model: Any, batch: Inputs, groups: Iterable[Inputs], ahead: torch.Tensor) -> Prefilled:
    """Run the model on prompts, a group at a time.

    Args:
        model: a Qwen-VL of transformers.
        batch: input_ids and attention_mask of all prompts, padded on the left, on the model's device.
        groups: inputs of the model's forward for the same rows in order, with pixels; created lazily. Larger groups
            gain little, and a single prompt needs no mask, which halves the cost of its attention.
        ahead: position of the token after each prompt, shape (rows,).
    """
    from transformers import DynamicCache

    from lmms_eval_shotbench.qwen.kv_cache import concatenate_caches

    caches, logits = [], []
    for group in groups:
        output = model(**group, past_key_values=DynamicCache(config=model.config), use_cache=True, logits_to_keep=1)
        logits.append(output.logits[:, -1])
        caches.append(output.past_key_values)
        del group, output
    ids, mask = batch["input_ids"], batch["attention_mask"]
    return Prefilled(concatenate_caches(caches, ids.shape[1]), ids, mask, ahead, torch.cat(logits))


def decode(model: Any, rows: Prefilled, step: Step) -> list[list[int]]:
    """Return the new token ids of each row, including the one that ended it."""
    prompt = rows.ids.shape[1]
    originals = list(range(len(rows.ids)))  # index among the prefilled rows, by row of the current batch
    answers: list[list[int]] = [[] for _ in originals]
    while True:
        rows.ids, ended = step(rows.ids, rows.logits, originals)
        for row, original in enumerate(originals):
            if ended[row] and not answers[original]:
                answers[original] = rows.ids[row, prompt:].tolist()
        active = [row for row, original in enumerate(originals) if not answers[original]]
        if not active:
            return answers
        if len(active) <= WORTH_COMPACTING * len(originals):
            rows.select(active)
            originals = [originals[row] for row in active]
        rows.advance(model)


def draw(scores: torch.Tensor, randoms: Sequence[Random]) -> torch.Tensor:
    """Sample one token id per row by inverse transform sampling.

    Args:
        scores: Logits, shape (rows, vocabulary).
        randoms: Random number generator of each row.

    Returns:
        Token ids, int64 of shape (rows,).
    """
    cumulative = scores.softmax(dim=-1, dtype=torch.float64).cumsum(dim=-1)
    uniform = torch.tensor([[random.random()] for random in randoms], dtype=torch.float64, device=scores.device)
    drawn = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
    return drawn[:, 0].clamp_(max=scores.shape[-1] - 1)


def answer_batch(
    model: Any,
    batch: Inputs,
    groups: Iterable[Inputs],
    max_new_tokens: int,
    stops: Any = None,
    sampling: Sampling | None = None,
    randoms: Sequence[Random] = (),
) -> list[list[int]]:
    """Return the new token ids of each row, by the checkpoint's generation settings.

    Args:
        model: see `prefill`.
        batch: `Architecture.padded` of all prompts, on the model's device.
        groups: see `prefill`: `Architecture.padded` and `vision_inputs` of a few rows.
        max_new_tokens: maximum number of new tokens per row.
        stops: a `StoppingCriteriaList`, in addition to the end-of-text token.
        sampling: sampling settings; without them decoding is greedy, even if the checkpoint's settings sample.
        randoms: random number generator of each row; required with `sampling`.
    """

    def loop(model: Any, input_ids: torch.Tensor, logits_processor: Any, stopping_criteria: Any, **_given: Any) -> Any:
        def step(ids: torch.Tensor, logits: torch.Tensor, rows: list[int]) -> tuple[torch.Tensor, list[bool]]:
            scores = logits_processor(ids, logits.to(ids.device, torch.float32))
            chosen = draw(scores, [randoms[row] for row in rows]) if sampling else scores.argmax(dim=-1)
            longer = torch.cat([ids, chosen[:, None]], dim=1)
            return longer, stopping_criteria(longer, scores).tolist()

        ahead = batch["position_ids"].amax(dim=(0, 2)) + 1
        return decode(model, prefill(model, batch, groups, ahead), step)

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
