"""Answer chats with a checkpoint: media made ready ahead, batches by tokens, smaller ones where memory runs out."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random
from threading import Barrier
from typing import Any, NamedTuple

import torch

from lmms_eval_shotbench.media.stills import BrokenMedium, open_still
from lmms_eval_shotbench.media.stored_medium import StoredMedium
from lmms_eval_shotbench.models.batching import Lookahead, Planned, plan_batches
from lmms_eval_shotbench.models.chats import Chat, HowToAnswer
from lmms_eval_shotbench.models.response_store import Response
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint
from lmms_eval_shotbench.qwen.inputs import (
    Patches,
    Prompt,
    Shown,
    blanked,
    clip_patches,
    clip_tokens,
    still_patches,
    still_tokens,
)
from lmms_eval_shotbench.vocabulary import MediaKind

logger = logging.getLogger(__name__)
NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")  # CUDA's words, and the CPU allocator's


class Failure(NamedTuple):
    """Why a chat has no response."""

    reason: str


Answer = Response | Failure
MediaReady = Mapping[str, "Future[Patches]"]


class Plan(NamedTuple):
    """Chats that agree on how to answer, measured: ids without the tokens of media, and what failed already."""

    how: HowToAnswer
    ids: list[list[int]]
    media: dict[str, StoredMedium]
    prompts: list[Planned]
    failed: dict[int, Answer]


class ResponseGenerator:
    """A checkpoint that answers chats. Not to be shared between threads."""

    def __init__(self, checkpoint: Checkpoint, shown: Shown, batch_tokens: int, workers: int) -> None:
        """`batch_tokens` bounds rows x (longest prompt + new tokens) of a batch; `workers` threads prepare media."""
        self._checkpoint = checkpoint
        self._shown = shown
        self._threads = media_threads(workers)
        self._batch_tokens = batch_tokens  # lowered when memory runs out

    def plan(self, chats: Sequence[Chat]) -> Plan:
        """Read the header of every medium; one that has none is a failure of its chats."""
        media = {medium.key: medium for chat in chats for medium in chat.media}
        sizes = dict(zip(media, self._threads.map(self._tokens_or_failure, media.values()), strict=True))
        ids = self._token_ids(chats)
        prompts, failed = [], dict[int, Answer]()
        for place, chat in enumerate(chats):
            keys = tuple(medium.key for medium in chat.media)
            tokens = len(ids[place])
            for key in keys:
                size = sizes[key]
                if isinstance(size, Failure):
                    failed[place] = size
                else:
                    tokens += size
            if place not in failed:
                prompts.append(Planned(place, tokens, keys))
        return Plan(chats[0].how, ids, media, prompts, failed)

    def answers(self, plan: Plan) -> Iterator[dict[int, Answer]]:
        """Yield answers by place in the planned chats, a batch at a time, longest prompts first."""
        yield plan.failed
        batches = plan_batches(plan.prompts, self._batch_tokens, plan.how.max_new_tokens)
        lookahead = Lookahead(lambda key: self._patches(plan.media[key]), self._threads, self._batch_tokens)
        for batch, ready in lookahead.run(batches):
            yield from self._in_memory(batch, plan, ready)

    def _in_memory(self, batch: list[Planned], plan: Plan, ready: MediaReady) -> Iterator[dict[int, Answer]]:
        """Answer a batch, in parts where it needs more memory than there is."""
        for part in plan_batches(batch, self._batch_tokens, plan.how.max_new_tokens):
            answers = self._answers_or_none(part, plan, ready)
            if answers is not None:
                yield answers
            elif len(part) == 1:
                yield {part[0].place: Failure(f"a prompt of {part[0].tokens} tokens needs more memory than there is")}
            else:
                longest = max(prompt.tokens for prompt in part) + plan.how.max_new_tokens
                self._batch_tokens = max(len(part) // 2, 1) * longest
                logger.warning("out of memory at %d prompts of up to %d tokens; batches are halved", len(part), longest)
                yield from self._in_memory(part, plan, ready)

    def _answers_or_none(self, batch: list[Planned], plan: Plan, ready: MediaReady) -> dict[int, Answer] | None:
        """Answers of a batch, or None where memory ran out; by then all of the batch is freed."""
        try:
            return self._answer(batch, plan, ready)
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            if not any(words in str(error).lower() for words in NO_MEMORY):
                raise
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None

    def _answer(self, batch: list[Planned], plan: Plan, ready: MediaReady) -> dict[int, Answer]:
        answers: dict[int, Answer] = {}
        places, prompts, randoms = [], [], []
        for one in batch:
            reasons = [str(error) for key in one.media if (error := ready[key].exception()) is not None]
            if reasons:
                answers[one.place] = Failure(reasons[0])
            else:
                places.append(one.place)
                prompts.append(Prompt(plan.ids[one.place], [ready[key].result() for key in one.media]))
                if plan.how.sampling:
                    randoms.append(Random(f"{plan.how.sampling.seed} {one.media} {plan.ids[one.place]}"))
        if prompts:
            answers |= zip(places, self._responses(prompts, plan.how, randoms), strict=True)
        return answers

    def _responses(self, prompts: list[Prompt], how: HowToAnswer, randoms: list[Random]) -> list[Response]:
        checkpoint, tokenizer = self._checkpoint, self._checkpoint.processor.tokenizer
        rows = checkpoint.answer(prompts, how.max_new_tokens, _stops(tokenizer, how), how.sampling, randoms)
        texts = tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [
            Response(_cut_at(text, how.stop_strings), prompt.tokens(checkpoint.position_rule.merge), len(row))
            for text, prompt, row in zip(texts, prompts, rows, strict=True)
        ]

    def _token_ids(self, chats: Sequence[Chat]) -> list[list[int]]:
        processor = self._checkpoint.processor
        texts = [
            processor.apply_chat_template(chat.messages, tokenize=False, add_generation_prompt=True) for chat in chats
        ]
        return processor.tokenizer(texts)["input_ids"]  # type: ignore[no-any-return]

    def _tokens_or_failure(self, medium: StoredMedium) -> int | Failure:
        tokens = still_tokens if medium.kind is MediaKind.STILL else clip_tokens
        try:
            return tokens(medium.read(), self._shown, self._checkpoint.patch_rule)
        except BrokenMedium as error:
            return Failure(str(error))

    def _patches(self, medium: StoredMedium) -> Patches:
        rule = self._checkpoint.patch_rule
        if medium.kind is MediaKind.CLIP:
            patches = clip_patches(medium.read(), self._shown, rule, medium.view)
        else:
            patches = still_patches(open_still(medium.read(), medium.view), self._shown, rule)
        return blanked(patches) if self._shown.blank else patches


def media_threads(workers: int) -> ThreadPoolExecutor:
    """Threads in which an operation of torch takes one core: otherwise each of them would take all.

    torch keeps that number for each thread, from the moment it first computes there; the caller's own stays as it was.
    """
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        threads = ThreadPoolExecutor(workers, thread_name_prefix="media")
        all_started = Barrier(workers)
        for started in [threads.submit(_start, all_started) for _ in range(workers)]:
            started.result()
    finally:
        torch.set_num_threads(usual)
    return threads


def _start(all_started: Barrier) -> None:
    all_started.wait()
    torch.get_num_threads()


def _stops(tokenizer: Any, how: HowToAnswer) -> Any:
    from transformers import StoppingCriteriaList, StopStringCriteria

    return StoppingCriteriaList([StopStringCriteria(tokenizer, list(how.stop_strings))] if how.stop_strings else [])


def _cut_at(text: str, stops: Sequence[str]) -> str:
    """Text before the first stop string."""
    return min((text.partition(stop)[0] for stop in stops), key=len, default=text)
