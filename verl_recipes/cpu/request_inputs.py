"""Pixel values and positions of a rollout request, the same as in the actor's inputs.

After generation, verl's agent loop prepares the actor's inputs from prompt, response and media. The server prepares the
prompt with the same methods, so the two cannot diverge, even if a plugin patches the positions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from verl.experimental.agent_loop.agent_loop import AgentLoopWorker

from verl_recipes.cpu.generation import ReadyPrompt

MEDIA = ("pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw")  # arguments of the model's forward


class RequestInputs(AgentLoopWorker):  # type: ignore[misc]  # verl has no types
    """verl's agent loop worker, used only for its preparation of the actor's inputs."""

    def __init__(self, processor: Any) -> None:  # without super().__init__(), which needs a complete run
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.mm_processor_kwargs: dict[str, Any] = {}

    def ready_prompt(
        self, ids: Sequence[int], images: Sequence[Any] | None, videos: Sequence[Any] | None
    ) -> ReadyPrompt:
        """Prepare the model inputs of a prompt.

        Args:
            ids: Tokens of the prompt, with one placeholder per media token.
            images: PIL images.
            videos: Pairs of frames, uint8 (frames, 3, height, width), and their metadata.

        Raises:
            ValueError: The placeholders in the prompt do not match the media.
        """
        media = {key: list(values) for key, values in (("images", images), ("videos", videos)) if values}
        row = torch.tensor(ids)
        request = SimpleNamespace(multi_modal_data=media, mm_processor_kwargs={})
        inputs = self._compute_multi_modal_inputs(request, row)
        longer = torch.cat([row, row.new_tensor([self.tokenizer.eos_token_id])])[None]  # with the first new token
        positions = self._compute_position_ids(longer, torch.ones_like(longer), inputs)
        axes = positions[0, -3:] if positions.dim() == 3 else positions.expand(3, -1)  # text-only prompts have one axis
        return ReadyPrompt(tuple(ids), axes, {name: inputs[name] for name in MEDIA if name in inputs})


def prompt_name(ids: Sequence[int], images: Sequence[Any] | None, videos: Sequence[Any] | None) -> str:
    """A hash that is equal for requests if and only if their tokens and media are equal."""
    name = hashlib.sha256(repr(list(ids)).encode())
    for image in images or ():
        name.update(f"image {image.mode} {image.size}".encode() + image.tobytes())
    for frames, metadata in videos or ():
        name.update(f"video {tuple(frames.shape)} {frames.dtype} {metadata}".encode())
        name.update(frames.contiguous().numpy().tobytes())
    return name.hexdigest()
