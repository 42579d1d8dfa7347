"""Batching of rollout requests: one prefill per distinct prompt, and an invalid prompt fails only its own requests.

Decoding is in `generation.py`, pixel values and positions are in `request_inputs.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from verl_recipes.cpu.generation import ReadyPrompt, ResponseSettings, SampledResponse, SampleRequest, generate
from verl_recipes.cpu.request_inputs import RequestInputs, prompt_name


class Unanswered(RuntimeError):
    """A request failed, independently of the others in its batch.

    The message contains the type and message of the original exception, which itself may not be picklable or may not be
    accepted by asyncio.
    """

    @classmethod
    def after(cls, failure: Exception) -> Unanswered:
        """Create one from the original exception."""
        return cls(f"no answer to this request: {type(failure).__name__}: {failure}")


@dataclass(frozen=True, eq=False)
class RolloutRequest:
    """A request for one response to a prompt."""

    ids: tuple[int, ...]  # tokens of the prompt
    settings: ResponseSettings
    images: Sequence[Any] | None = None  # PIL images
    videos: Sequence[Any] | None = None  # pairs of frames, uint8 (frames, 3, height, width), and metadata

    def name(self) -> str:
        """Hash of the prompt, equal for requests with the same tokens and media."""
        return prompt_name(self.ids, self.images, self.videos)


class Group(NamedTuple):
    """A prompt and the indices of its requests."""

    prompt: ReadyPrompt
    indices: list[int]


@dataclass(eq=False)
class RolloutGenerator:
    """Generates responses to batches of requests with one model."""

    model: Any
    inputs: RequestInputs
    suppressed: torch.Tensor  # bool (vocabulary,): token ids that are never sampled
    tokens_per_batch: int  # maximum prompt tokens in a batch, padding included; bounds attention memory

    def answer(self, requests: Sequence[RolloutRequest]) -> list[SampledResponse | Unanswered]:
        """Return for each request, in order, its response or the exception of its failure."""
        by_name: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            by_name.setdefault(request.name(), []).append(index)
        groups, answers = self._ready(requests, list(by_name.values()))
        for batch in _batches(groups, self.tokens_per_batch):
            answers |= self._answer_batch(requests, batch)
        return [answers[index] for index in range(len(requests))]

    def _ready(
        self, requests: Sequence[RolloutRequest], groups: list[list[int]]
    ) -> tuple[list[Group], dict[int, SampledResponse | Unanswered]]:
        """Prepared prompts, and the failures of the prompts that cannot be prepared."""
        ready: list[Group] = []
        failed: dict[int, SampledResponse | Unanswered] = {}
        for indices in groups:
            first = requests[indices[0]]
            try:
                ready.append(Group(self.inputs.ready_prompt(first.ids, first.images, first.videos), indices))
            except Exception as error:  # processors raise many types; the other prompts must still be answered
                failed |= dict.fromkeys(indices, Unanswered.after(error))
        return ready, failed

    def _answer_batch(
        self, requests: Sequence[RolloutRequest], batch: list[Group]
    ) -> dict[int, SampledResponse | Unanswered]:
        indices = [index for group in batch for index in group.indices]
        samples = [
            SampleRequest(prompt, requests[index].settings)
            for prompt, group in enumerate(batch)
            for index in group.indices
        ]
        try:
            responses = generate(self.model, [group.prompt for group in batch], samples, self.suppressed)
        except Exception as error:  # one prompt is faulty: generate for each prompt separately
            if len(batch) == 1:
                return dict.fromkeys(indices, Unanswered.after(error))
            return {index: answer for group in batch for index, answer in self._answer_batch(requests, [group]).items()}
        return dict(zip(indices, responses, strict=True))


def _batches(groups: Sequence[Group], tokens: int) -> Iterator[list[Group]]:
    """Batches of groups of similar prompt length, with at most `tokens` prompt tokens after padding."""
    batch: list[Group] = []
    for group in sorted(groups, key=lambda group: len(group.prompt.ids)):
        if batch and (len(batch) + 1) * len(group.prompt.ids) > tokens:
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch
