"""Patch verl's vLLM server to give vLLM the prompts of Qwen3-VL as their chat template renders them.

Qwen3-VL's processor writes a clip as one picture per temporal patch, each after its time in words. verl sends these
tokens to the server, which replaces each run of placeholders by a single one for vLLM to expand again
(`qwen2_5_vl_dedup_image_tokens`). But vLLM expects one placeholder per clip and writes the times itself. With verl
0.9.1 the complete clip stands after the first time, followed by the other times with placeholders that have no picture:
without an error, responses are generated from another prompt than the one that is trained on.

Here each clip is replaced by one placeholder in advance, so vLLM's prompt has the tokens of the actor.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from verl_recipes.inside_verl.patch_on_import import when_imported

MODULE = "verl.workers.rollout.vllm_rollout.vllm_async_server"


class UnknownPrompt(ValueError):
    """The times of a clip in a prompt are not those of its frames."""


def install() -> None:
    """Patch verl's module, now or when it is imported. Calling it again has no effect."""
    when_imported(MODULE, apply)


def apply(module: ModuleType) -> None:
    """Patch verl's module of the vLLM server."""
    server: Any = module.vLLMHttpServer  # type: ignore[attr-defined]
    server.generate = _with_one_placeholder_a_clip(server.generate)


def _with_one_placeholder_a_clip(generate: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(generate)
    async def wrapped(server: Any, prompt_ids: Sequence[int], *rest: Any, **named: Any) -> Any:
        if clips := named.get("video_data"):
            prompt_ids = collapse_clips(prompt_ids, clips, server.model_config.processor)
        return await generate(server, prompt_ids, *rest, **named)

    return wrapped


def collapse_clips(ids: Sequence[int], clips: Sequence[tuple[Any, Mapping[str, Any]]], processor: Any) -> list[int]:
    """Replace each clip in a prompt of Qwen3-VL by one placeholder; prompts of other models are not changed.

    Args:
        ids: Tokens of the prompt as the processor writes them.
        clips: Frames and metadata of each clip, in order.
        processor: Processor of the checkpoint.

    Raises:
        UnknownPrompt: The times in the prompt are not those that vLLM will write.
    """
    from transformers import Qwen3VLProcessor

    rest, collapsed = list(ids), list[int]()
    if not isinstance(processor, Qwen3VLProcessor):
        return rest
    start, clip, end = processor.vision_start_token_id, processor.video_token_id, processor.vision_end_token_id
    for _frames, metadata in clips:
        times = _time_tokens(metadata, processor)
        first = rest.index(clip) - 1 - len(times[0])
        after = first
        for time in times:
            pictured = after + len(time)
            if rest[after : pictured + 2] != [*time, start, clip]:
                found, expected = map(processor.tokenizer.decode, (rest[max(after, 0) : pictured + 2], time))
                raise UnknownPrompt(f"a clip's picture in the prompt begins with {found!r} instead of {expected!r}")
            after = rest.index(end, pictured) + 1
        collapsed += [*rest[:first], start, clip, end]
        rest = rest[after:]
    return collapsed + rest


def _time_tokens(metadata: Mapping[str, Any], processor: Any) -> list[list[int]]:
    """Tokens of the time of each temporal patch, as vLLM writes them."""
    from lmms_eval_shotbench.qwen.qwen3_vl import time_in_words

    frames = processor.video_processor.temporal_patch_size
    times = processor._calculate_timestamps(list(metadata["frames_indices"]), metadata["fps"], frames)
    return [processor.tokenizer.encode(time_in_words(time), add_special_tokens=False) for time in times]


def still_needed(processor: Any) -> bool:
    """Whether verl's own function leaves several placeholders of a clip of two temporal patches."""
    from verl.workers.rollout.utils import qwen2_5_vl_dedup_image_tokens

    picture = [processor.vision_start_token_id, processor.video_token_id, processor.vision_end_token_id]
    ids = qwen2_5_vl_dedup_image_tokens([5, *picture, 6, *picture], processor)
    return bool(ids.count(processor.video_token_id) > 1)
