"""A rollout request as the actor will see it: the same pixels, the same positions.

verl's agent loop prepares the actor's inputs from prompt, response and media once the response is there. The server
uses the very methods of it for the prompt, so that the two cannot drift apart, whatever plugins do to positions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from verl.experimental.agent_loop.agent_loop import AgentLoopWorker

from verl_recipes.cpu.generation import ReadyPrompt

MEDIA = ("pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw")  # what the model's forward reads


class RequestInputs(AgentLoopWorker):  # type: ignore[misc]  # verl has no types
    """verl's agent loop worker, for what it does between a response and the actor; it runs no loops."""

    def __init__(self, processor: Any) -> None:  # not super's: it needs a whole run
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.mm_processor_kwargs: dict[str, Any] = {}

    def ready_prompt(
        self, ids: Sequence[int], images: Sequence[Any] | None, videos: Sequence[Any] | None
    ) -> ReadyPrompt:
        """Pixels and positions of a prompt.

        Args:
            images: PIL pictures.
            videos: pairs of frames and their metadata.

        Raises:
            ValueError: marks of media in the prompt and the media themselves do not match.
        """
        media = {key: list(values) for key, values in (("images", images), ("videos", videos)) if values}
        row = torch.tensor(ids)
        request = SimpleNamespace(multi_modal_data=media, mm_processor_kwargs={})
        inputs = self._compute_multi_modal_inputs(request, row)
        longer = torch.cat([row, row.new_tensor([self.tokenizer.eos_token_id])])[None]  # one token to come
        positions = self._compute_position_ids(longer, torch.ones_like(longer), inputs)
        axes = positions[0, -3:] if positions.dim() == 3 else positions.expand(3, -1)  # text alone has one axis
        return ReadyPrompt(tuple(ids), axes, {name: inputs[name] for name in MEDIA if name in inputs})


def prompt_name(ids: Sequence[int], images: Sequence[Any] | None, videos: Sequence[Any] | None) -> str:
    """A name that requests share if, and only if, tokens and media are the same."""
    name = hashlib.sha256(repr(list(ids)).encode())
    for image in images or ():
        name.update(f"image {image.mode} {image.size}".encode() + image.tobytes())
    for frames, metadata in videos or ():
        name.update(f"video {tuple(frames.shape)} {frames.dtype} {metadata}".encode())
        name.update(frames.contiguous().numpy().tobytes())
    return name.hexdigest()
