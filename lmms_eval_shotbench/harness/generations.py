"""Numbers of tokens that lmms-eval drops.

lmms-eval passes on the usage that a server reports. Its `vllm` drops what vLLM reports, and most of its models of
transformers leave out the prompt, in which media are most of the tokens. Both are noted here where they are known:
vLLM's own counts, and the lengths of what `generate` of transformers was given and returned for an unbatched request.
lmms-eval does not report which row of a batch belongs to which request.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, NamedTuple
from unittest.mock import patch


class Generation(NamedTuple):
    """Lengths of prompt and response in tokens, and why generation ended, "" if unknown."""

    input_tokens: int
    output_tokens: int
    finish_reason: str = ""
    counted: bool = False  # whether the tokens were counted here, not reported by the backend


Note = Callable[[Sequence[Generation]], None]


@contextmanager
def generations_noted(model: Any, note: Note) -> Iterator[None]:
    """Call `note` with what a model in this process generates, in the order of vLLM's requests."""
    with ExitStack() as patches:
        client: Any = getattr(model, "client", None)
        if hasattr(client, "llm_engine"):  # vLLM's LLM
            patches.enter_context(patch.object(client, "chat", _noting_vllm(client.chat, note)))
        if utils := sys.modules.get("transformers.generation.utils"):
            mixin = utils.GenerationMixin
            patches.enter_context(patch.object(mixin, "generate", _noting_transformers(mixin.generate, note)))
        yield


def generations_of(noted: Sequence[Generation], requests: int) -> list[Generation | None]:
    """Return the generation of each request; None where they cannot be assigned to the requests.

    Several generations of one request, as of a model that calls tools, add up.
    """
    if requests == 1 and noted:
        return [
            noted[-1]._replace(
                input_tokens=sum(one.input_tokens for one in noted),
                output_tokens=sum(one.output_tokens for one in noted),
            )
        ]
    if len(noted) == requests and not any(one.counted for one in noted):
        return list(noted)
    return [None] * requests


def _noting_vllm(chat: Callable[..., Any], note: Note) -> Callable[..., Any]:
    @wraps(chat)
    def noting(*args: Any, **settings: Any) -> Any:
        outputs = chat(*args, **settings)
        note(
            [
                Generation(len(one.prompt_token_ids), len(one.outputs[0].token_ids), one.outputs[0].finish_reason or "")
                for one in outputs
                if getattr(one, "prompt_token_ids", None)
            ]
        )
        return outputs

    return noting


def _noting_transformers(generate: Callable[..., Any], note: Note) -> Callable[..., Any]:
    nested = 0  # `generate` may call that of an assistant model, whose tokens are not the response's

    @wraps(generate)
    def noting(self: Any, inputs: Any = None, *args: Any, **settings: Any) -> Any:
        nonlocal nested
        nested += 1
        try:
            generated = generate(self, inputs, *args, **settings)
        finally:
            nested -= 1
        prompt: Any = inputs if inputs is not None else settings.get("input_ids")
        given = (settings.get("attention_mask"), prompt, settings.get("inputs_embeds"))
        shown = next((one for one in given if one is not None), None)  # (1, prompt tokens, …)
        shape: tuple[int, ...] = getattr(getattr(generated, "sequences", generated), "shape", ())  # rows, tokens
        if not nested and shown is not None and len(shape) == 2 and shape[0] == 1:
            repeats_prompt = prompt is not None and not getattr(self.config, "is_encoder_decoder", False)
            note([Generation(shown.shape[1], shape[1] - (prompt.shape[1] if repeats_prompt else 0), counted=True)])
        return generated

    return noting
