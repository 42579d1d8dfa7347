"""Answer chats with a checkpoint: media are prefetched, batches limited by tokens and halved if memory runs out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from random import Random
from threading import Barrier
from typing import Any, NamedTuple

import torch

from lmms_eval_shotbench.media.stills import BrokenMedium, open_still
from lmms_eval_shotbench.media.stored_medium import StoredMedium
from lmms_eval_shotbench.models.batching import Lookahead, Planned, plan_batches
from lmms_eval_shotbench.models.chats import BEGUN_THOUGHT, Chat, GenerationSettings
from lmms_eval_shotbench.models.token_budget import TokenBudget, too_long
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint
from lmms_eval_shotbench.qwen.inputs import (
    MediaLimits,
    Patches,
    Prompt,
    blanked,
    clip_patches,
    grid_from_header,
    still_patches,
)
from lmms_eval_shotbench.qwen.rope_positions import Grid
from lmms_eval_shotbench.runs.response_store import Answer, Failure, Response
from lmms_eval_shotbench.vocabulary import MediaKind

PreparedMedia = Mapping[str, "Future[Patches]"]  # by key of the medium


class Plan(NamedTuple):
    """Chats with the same generation settings, ready for batching."""

    settings: GenerationSettings
    ids: list[list[int]]  # token ids of each chat, with one placeholder per medium
    openings: list[str]  # of each response, as far as the prompt contains it
    media: dict[str, StoredMedium]  # by key
    prompts: list[Planned]  # lengths and media of the chats that have not failed
    failed: dict[int, Answer]  # by index of the chat


class ResponseGenerator:
    """Generates responses to chats with a checkpoint. Not thread-safe."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        limits: MediaLimits,
        batch_tokens: int,
        workers: int,
        template: Mapping[str, Any] | None = None,
    ) -> None:
        """Start the threads that decode media.

        Args:
            checkpoint: Model and processor.
            limits: Size and frame rate of media.
            batch_tokens: Maximum of rows x (longest prompt + new tokens) per batch.
            workers: Number of threads.
            template: Additional arguments of the chat template.
        """
        self._checkpoint, self._template = checkpoint, template or {}
        self._limits = limits
        self._threads = media_threads(workers)
        self._budget = TokenBudget(batch_tokens)

    def plan(self, chats: Sequence[Chat]) -> Plan:
        """Estimate prompt lengths from media headers; a chat with an unreadable medium is recorded as failed.

        All chats must have the same generation settings.
        """
        media = {medium.key: medium for chat in chats for medium in chat.media}
        grids = dict(zip(media, self._threads.map(self._grid_or_failure, media.values()), strict=True))
        texts = [self._rendered(chat) for chat in chats]
        ids = self._checkpoint.processor.tokenizer(texts)["input_ids"]
        openings = [BEGUN_THOUGHT if text.endswith(BEGUN_THOUGHT) else "" for text in texts]
        prompts, failed = [], dict[int, Answer]()
        for index, chat in enumerate(chats):
            keys = tuple(medium.key for medium in chat.media)
            tokens = len(ids[index])
            for key in keys:
                grid = grids[key]
                if isinstance(grid, Failure):
                    failed[index] = grid
                else:
                    tokens += self._checkpoint.architecture.medium_tokens(grid)
            if index not in failed:
                prompts.append(Planned(index, tokens, keys))
        return Plan(chats[0].generation, ids, openings, media, prompts, failed)

    def answers(self, plan: Plan) -> Iterator[dict[int, Answer]]:
        """Yield answers by index of the chat: first the plan's failures, then each batch, longest prompts first."""
        yield plan.failed
        batches = plan_batches(plan.prompts, self._budget.tokens, plan.settings.max_new_tokens)
        lookahead = Lookahead(lambda key: self._patches(plan.media[key]), self._threads, self._budget.tokens)
        for batch, ready in lookahead.run(batches):
            yield from self._answer_within_memory(batch, plan, ready)

    def _answer_within_memory(
        self, batch: list[Planned], plan: Plan, ready: PreparedMedia
    ) -> Iterator[dict[int, Answer]]:
        """Answer a batch, in smaller batches if memory runs out; a single prompt that does not fit fails."""
        answer = partial(self._answer, plan=plan, ready=ready)
        for part, answers in self._budget.within_memory(batch, plan.settings.max_new_tokens, answer):
            yield {part[0].chat_index: Failure(too_long(part[0]))} if answers is None else answers

    def _answer(self, batch: list[Planned], plan: Plan, ready: PreparedMedia) -> dict[int, Answer]:
        answers: dict[int, Answer] = {}
        indices, prompts, generators = [], [], []
        for one in batch:
            reasons = [str(error) for key in one.media if (error := ready[key].exception()) is not None]
            if reasons:
                answers[one.chat_index] = Failure(reasons[0])
            else:
                indices.append(one.chat_index)
                prompts.append(Prompt(plan.ids[one.chat_index], [ready[key].result() for key in one.media]))
                if plan.settings.sampling:
                    generators.append(Random(f"{plan.settings.sampling.seed} {one.media} {plan.ids[one.chat_index]}"))
        if prompts:
            for index, response in zip(indices, self._responses(prompts, plan.settings, generators), strict=True):
                # A thought that is cut must be known as one, or a letter in it would be read as the answer.
                answers[index] = response._replace(text=plan.openings[index] + response.text)
        return answers

    def _responses(
        self, prompts: list[Prompt], settings: GenerationSettings, generators: list[Random]
    ) -> list[Response]:
        checkpoint, tokenizer = self._checkpoint, self._checkpoint.processor.tokenizer
        rows = checkpoint.answer(
            prompts, settings.max_new_tokens, _stop_criteria(tokenizer, settings), settings.sampling, generators
        )
        texts = tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [
            Response(
                _truncate_at(text, settings.stop_strings),
                checkpoint.architecture.tokens(prompt),
                len(row),
                "length" if _is_cut(row, text, settings, checkpoint.end_tokens) else "stop",
            )
            for text, prompt, row in zip(texts, prompts, rows, strict=True)
        ]

    def _rendered(self, chat: Chat) -> str:
        rendered: str = self._checkpoint.processor.apply_chat_template(
            chat.messages, tokenize=False, add_generation_prompt=True, **self._template
        )
        return rendered

    def _grid_or_failure(self, medium: StoredMedium) -> Grid | Failure:
        try:
            return grid_from_header(medium.kind, medium.read(), self._limits, self._checkpoint.patch_rule)
        except BrokenMedium as error:
            return Failure(str(error))

    def _patches(self, medium: StoredMedium) -> Patches:
        rule = self._checkpoint.patch_rule
        if medium.kind is MediaKind.CLIP:
            patches = clip_patches(medium.read(), self._limits, rule, medium.view)
        else:
            patches = still_patches(open_still(medium.read(), medium.view), self._limits, rule)
        return blanked(patches) if self._limits.blank else patches


def media_threads(workers: int) -> ThreadPoolExecutor:
    """Return a thread pool in which a torch operation uses one core; by default it would use all in each thread.

    torch fixes the number of cores of a thread at its first call, so every thread makes one before the caller's setting
    is restored; the barrier ensures that all threads are started.
    """
    previous = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        threads = ThreadPoolExecutor(workers, thread_name_prefix="media")
        all_started = Barrier(workers)
        for started in [threads.submit(_start, all_started) for _ in range(workers)]:
            started.result()
    finally:
        torch.set_num_threads(previous)
    return threads


def _start(all_started: Barrier) -> None:
    all_started.wait()
    torch.get_num_threads()


def _stop_criteria(tokenizer: Any, settings: GenerationSettings) -> Any:
    from transformers import StoppingCriteriaList, StopStringCriteria

    return StoppingCriteriaList(
        [StopStringCriteria(tokenizer, list(settings.stop_strings))] if settings.stop_strings else []
    )


def _is_cut(tokens: Sequence[int], text: str, settings: GenerationSettings, end_tokens: Collection[int]) -> bool:
    """Whether generation ended because of the limit of new tokens alone."""
    stopped = tokens[-1] in end_tokens or any(stop in text for stop in settings.stop_strings)
    return len(tokens) >= settings.max_new_tokens and not stopped


def _truncate_at(text: str, stops: Sequence[str]) -> str:
    """Return the text before the first stop string."""
    return min((text.partition(stop)[0] for stop in stops), key=len, default=text)
