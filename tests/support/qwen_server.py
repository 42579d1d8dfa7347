"""A scripted server that speaks vLLM's chat API for a Qwen-VL: it makes prompts of what it is sent, as vLLM does.

What it generates is scripted. Prompts have the sizes of the media on the wire; probabilities depend on the times that
it is sent with a clip.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy
import torch
from PIL import Image

from lmms_eval_shotbench.qwen.input_rules import InputRules
from lmms_eval_shotbench.qwen.inputs import Patches, Prompt
from lmms_eval_shotbench.qwen.rope_positions import Grid
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.openai_server import ANSWER, Endpoint, Request

MODEL = "served"
KINDS = {"image_url": MediaKind.STILL, "video_url": MediaKind.CLIP}
NAMES = {"image_url": "image", "video_url": "video", "text": "text"}


def pictures_of(part: dict[str, Any]) -> list[numpy.ndarray]:
    """The pictures of a still, or of a clip that is sent as a sequence of pictures."""
    _, encoded = part[part["type"]]["url"].split(";base64,", 1)
    return [numpy.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in encoded.split(",")]


@dataclass
class QwenEndpoint(Endpoint):
    """Its script acts on questions only: the prompts that check it have no system message.

    Attributes:
        rules: Input rules of the checkpoint that it serves.
        uses_times: Whether the times of frames have an effect.
        tokens_too_many: Tokens that its prompts have in addition, by kind of medium.
        returns_token_ids: Whether it returns the token ids of the prompt.
    """

    rules: InputRules | None = None
    uses_times: bool = True
    returns_token_ids: bool = True
    tokens_too_many: dict[MediaKind, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.listed = {
            "/v1/models": {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "vllm"}]},
            "/version": {"version": "0.24.0"},
        }

    @property
    def questions(self) -> list[Request]:
        """The requests that do not check the server."""
        return [one for one in self.requests if is_question(one)]

    def next_act(self, request: Request) -> int:
        if is_question(request):
            return super().next_act(request)
        with self.lock:
            self.requests.append(request)
        return ANSWER

    def completion(self, request: Request) -> dict[str, Any]:
        completion = super().completion(request)
        media = [part for message in request.body["messages"] for part in message["content"] if part["type"] in KINDS]
        more = sum(self.tokens_too_many.get(KINDS[part["type"]], 0) for part in media)
        ids = [*self.prompt(request), *[0] * more]
        completion["usage"]["prompt_tokens"] = len(ids)
        if self.returns_token_ids:
            completion["prompt_token_ids"] = ids
        if request.body.get("logprobs"):
            shown = request.body.get("mm_processor_kwargs", {}).get("video_metadata")
            effect = shown[0]["fps"] / 100 if shown and self.uses_times else 0.0
            completion["choices"][0]["logprobs"] = {
                "content": [{"top_logprobs": [{"token": "A", "logprob": -1 - effect}]}]
            }
        return completion

    def prompt(self, request: Request) -> list[int]:
        """Token ids of the prompt, by the sizes of the pictures that were sent."""
        assert self.rules is not None
        rule = self.rules.patch_rule
        messages, media = [], []
        for message in request.body["messages"]:
            parts = message["content"]
            messages.append(message | {"content": [part | {"type": NAMES[part["type"]]} for part in parts]})
            for part in (part for part in parts if part["type"] in KINDS):
                pictures, kind = pictures_of(part), KINDS[part["type"]]
                height, width = (size // rule.side for size in pictures[0].shape[:2])
                is_clip = kind is MediaKind.CLIP
                grid = Grid(len(pictures) // rule.frames if is_clip else 1, height, width, Fraction(int(is_clip)))
                media.append(Patches(kind, torch.empty(0), grid, seconds_sent(request, rule.frames)))
        processor = self.rules.processor
        text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return self.rules.architecture.expanded(Prompt(processor.tokenizer(text)["input_ids"], media)).tolist()  # type: ignore[no-any-return]


def is_question(request: Request) -> bool:
    return request.body["messages"][0]["role"] == "system"


def seconds_sent(request: Request, frames: int) -> tuple[float, ...]:
    """Times of the temporal patches of a clip, from its frames' indices and rate."""
    loading = request.body.get("media_io_kwargs", {}).get("video")
    if not loading:
        return ()
    times = [index / loading["fps"] for index in loading["frames_indices"]]
    return tuple((times[start] + times[start + frames - 1]) / 2 for start in range(0, len(times), frames))
