"""Requests answered together: one prefill for those that ask about the same prompt, one failure for one that is wrong.

Owns how requests are put into batches. Decoding is `generation.py`, pixels and positions are `request_inputs.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from verl_recipes.cpu.generation import ReadyPrompt, ResponseSettings, SampledResponse, SampleRequest, generate
from verl_recipes.cpu.request_inputs import RequestInputs, prompt_name


class Unanswered(RuntimeError):
    """A request that failed; others in its batch did not.

    Not the failure itself: it goes to another process, and may be of a kind that asyncio does not pass on.
    """

    @classmethod
    def after(cls, failure: Exception) -> Unanswered:
        """Say what failed."""
        return cls(f"no answer to this request: {type(failure).__name__}: {failure}")


@dataclass(frozen=True, eq=False)
class RolloutRequest:
    """One response asked for."""

    ids: tuple[int, ...]
    settings: ResponseSettings
    images: Sequence[Any] | None = None
    videos: Sequence[Any] | None = None

    def name(self) -> str:
        """Shared by requests about the same prompt."""
        return prompt_name(self.ids, self.images, self.videos)


class Group(NamedTuple):
    """A prompt and the requests about it, by number."""

    prompt: ReadyPrompt
    numbers: list[int]


@dataclass(eq=False)
class RolloutGenerator:
    """A model with all that answering takes."""

    model: Any
    inputs: RequestInputs
    never: torch.Tensor  # ids not sampled, as a mask
    tokens_a_batch: int  # of prompts, with padding: attention over long prompts needs memory

    def answer(self, requests: Sequence[RolloutRequest]) -> list[SampledResponse | Unanswered]:
        """A response to each request, or why there is none."""
        by_name: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            by_name.setdefault(request.name(), []).append(number)
        groups, answers = self._ready(requests, list(by_name.values()))
        for part in _parts(groups, self.tokens_a_batch):
            answers |= self._answer_part(requests, part)
        return [answers[number] for number in range(len(requests))]

    def _ready(
        self, requests: Sequence[RolloutRequest], groups: list[list[int]]
    ) -> tuple[list[Group], dict[int, SampledResponse | Unanswered]]:
        """Prompts the model can take, and the failures of the others."""
        ready: list[Group] = []
        failed: dict[int, SampledResponse | Unanswered] = {}
        for numbers in groups:
            first = requests[numbers[0]]
            try:
                ready.append(Group(self.inputs.ready_prompt(first.ids, first.images, first.videos), numbers))
            except Exception as error:  # processors raise all kinds; the other prompts are to be answered
                failed |= dict.fromkeys(numbers, Unanswered.after(error))
        return ready, failed

    def _answer_part(
        self, requests: Sequence[RolloutRequest], part: list[Group]
    ) -> dict[int, SampledResponse | Unanswered]:
        numbers = [number for group in part for number in group.numbers]
        asked = [
            SampleRequest(place, requests[number].settings)
            for place, group in enumerate(part)
            for number in group.numbers
        ]
        try:
            responses = generate(self.model, [group.prompt for group in part], asked, self.never)
        except Exception as error:  # one prompt of them is wrong: find it by asking for each alone
            if len(part) == 1:
                return dict.fromkeys(numbers, Unanswered.after(error))
            return {number: answer for group in part for number, answer in self._answer_part(requests, [group]).items()}
        return dict(zip(numbers, responses, strict=True))


def _parts(groups: Sequence[Group], tokens: int) -> Iterator[list[Group]]:
    """Groups of like length together, no more of them than the padded prompts may have tokens."""
    part: list[Group] = []
    for group in sorted(groups, key=lambda group: len(group.prompt.ids)):
        if part and (len(part) + 1) * len(group.prompt.ids) > tokens:
            yield part
            part = []
        part.append(group)
    if part:
        yield part
