"""Requests to a server, and the check that it gives the model the prompts of this package.

Before a run, a still and a clip of the protocol's size are sent. The prompt that the server makes of each must be the
one that `qwen/architecture.py` makes, by its token ids if the server returns them, else by its length. Time positions
are no tokens in Qwen2.5-VL: there, the same clip at another frame rate must change the probabilities of the next token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lmms_eval_shotbench.models.chats import KINDS, Chat, GenerationSettings
from lmms_eval_shotbench.models.engine import EngineFailed
from lmms_eval_shotbench.models.planning import Planner
from lmms_eval_shotbench.models.server_connection import Connection, RequestFailed, ServerReply
from lmms_eval_shotbench.models.server_media import EncodedMedium, encoded_medium
from lmms_eval_shotbench.models.vllm_sampling import sampling_fields
from lmms_eval_shotbench.qwen.input_rules import InputRules
from lmms_eval_shotbench.qwen.inputs import Patches, Prompt, grey_medium
from lmms_eval_shotbench.vocabulary import MediaKind

VLLM = "vllm"  # owner of its models
CHECKED, IN_EFFECT, NOT_CHECKED = "checked", "in effect, not checked one by one", "not checked"
SLOWER = 8  # times, the clip at another frame rate
LOG_PROBABILITIES = 5  # tokens
NOISE = 10  # times the difference between equal requests
PARTS = {kind: part for part, kind in KINDS.items()}  # types of parts of messages


def chat_request(
    chat: Chat, media: Sequence[EncodedMedium], rules: InputRules, template: Mapping[str, Any], seed: str
) -> dict[str, Any]:
    """Return the fields of a request.

    Args:
        chat: Messages with placeholders, and generation settings.
        media: Media of the placeholders, at most one of them a clip.
        rules: Input rules of the checkpoint.
        template: Additional arguments of the chat template.
        seed: See `sampling_fields`.
    """
    parts = iter(media)
    messages = [
        {
            "role": message["role"],
            "content": [part if part["type"] == "text" else next(parts).part for part in message["content"]],
        }
        for message in chat.messages
    ]
    fields = {name: value for name, value in sampling_fields(rules, chat.generation, seed).items() if value is not None}
    if not fields["top_k"]:
        fields["top_k"] = -1  # means "all" to every server
    of_media: dict[str, Any] = {}
    for one in sorted(media, key=lambda one: one.patches.kind is MediaKind.CLIP):
        of_media |= one.request  # that of a clip includes that of stills
    return {
        "messages": messages,
        **fields,
        **of_media,
        "return_token_ids": True,
        **({"chat_template_kwargs": dict(template)} if template else {}),
    }


def prompt_difference(completion: ServerReply, expected: torch.Tensor) -> str:
    """Return how the prompt that a server made differs from the expected token ids (length,), "" if not."""
    found, ids = completion.prompt_token_ids, expected.tolist()
    length = completion.prompt_tokens if found is None else len(found)
    if length is None:
        return "the server reports no length of the prompt (usage.prompt_tokens)"
    if length != len(ids):
        return f"the server's prompt has {length:,} tokens instead of {len(ids):,}"
    if found is not None and found != ids:
        first = next(index for index, (one, other) in enumerate(zip(found, ids, strict=True)) if one != other)
        return f"the server's prompt has other tokens from index {first:,} on"
    return ""


def check_prompts(connection: Connection, planner: Planner, kind: MediaKind) -> str:
    """Send a medium and compare the prompt that the server makes of it with ours.

    Returns:
        Whether time positions were checked; CHECKED for a still, which has none.

    Raises:
        EngineFailed: They differ, the server ignores the times of frames, or it refuses the medium.
    """
    rules, medium = planner.rules, _pattern(grey_medium(kind, planner.limits, planner.rules.patch_rule))
    text = {"type": "text", "text": "What is shown?"}
    chat = Chat([{"role": "user", "content": [{"type": PARTS[kind]}, text]}], [], GenerationSettings(1))
    ids = rules.processor.tokenizer(planner.rendered(chat))["input_ids"]

    def completed(shown: Patches) -> ServerReply:
        encoded = encoded_medium(shown, rules, connection.kind == VLLM)
        request = chat_request(chat, [encoded], rules, planner.template, "")
        try:
            return connection.complete(request | {"logprobs": True, "top_logprobs": LOG_PROBABILITIES})
        except RequestFailed as error:
            raise EngineFailed(f"the server does not answer a question about a {kind.value}: {error}") from None

    first = completed(medium)
    if difference := prompt_difference(first, rules.architecture.expanded(Prompt(ids, [medium]))):
        raise EngineFailed(
            f"{difference} for a {kind.value}, so the model would not be shown the protocol's: start the server as in "
            "docs/backends.md, with the checkpoint that pretrained names"
        )
    if kind is MediaKind.STILL:
        return CHECKED
    if not rules.architecture.rule.tokens_per_second:  # times are words of the prompt
        return NOT_CHECKED if first.prompt_token_ids is None else CHECKED
    slower = completed(medium._replace(grid=medium.grid._replace(fps=medium.grid.fps / SLOWER)))
    noise, effect = _distance(first, completed(medium)), _distance(first, slower)
    if effect == 0 and first.log_probabilities:
        raise EngineFailed(
            "the server ignores the times of a clip's frames, so camera movement would be judged by wrong ones: use "
            "vLLM 0.24 or later, or engine=vllm"
        )
    return IN_EFFECT if first.log_probabilities and effect > NOISE * noise else NOT_CHECKED


def _pattern(medium: Patches) -> Patches:
    """Return the medium with patches that differ from each other."""
    values = torch.arange(len(medium.values)).mul(37).remainder(251).to(torch.uint8)
    return medium._replace(values=values[:, None].expand_as(medium.values).contiguous())


def _distance(one: ServerReply, other: ServerReply) -> float:
    """Return the largest difference between log-probabilities of the first token."""
    a, b = one.log_probabilities, other.log_probabilities
    return max((abs(a[token] - b[token]) for token in a.keys() & b.keys()), default=float("inf") if a or b else 0.0)
