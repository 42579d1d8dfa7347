"""Batching of prompts, and prefetching of their media.

Batches are formed by tokens, longest first, so that padding is small and a batch that does not fit fails at the start
of a run. Threads prepare media (decoders release the GIL) while the model runs, each distinct medium once; the number
of prefetched tokens is limited.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Generic, NamedTuple, TypeVar

Prepared = TypeVar("Prepared")
# Tokens per length bucket. In a bucket, prompts keep their order, except that those with the same media are adjacent.
LENGTH_STEP = 64


class Planned(NamedTuple):
    """A prompt before its media are decoded: index in the caller's list, estimated tokens, keys of its media."""

    chat_index: int
    tokens: int
    media: tuple[str, ...] = ()


def longest_first(prompts: Sequence[Planned]) -> list[Planned]:
    """Return prompts with the longest first; of similar length, those that share a medium are adjacent."""
    first_seen: dict[tuple[str, ...], int] = {}
    for prompt in prompts:
        first_seen.setdefault(prompt.media, prompt.chat_index)
    return sorted(prompts, key=lambda p: (-(p.tokens // LENGTH_STEP), first_seen[p.media], p.chat_index))


def plan_batches(prompts: Sequence[Planned], budget: int, new_tokens: int) -> list[list[Planned]]:
    """Form batches, longest prompts first, within a budget of rows x (longest prompt + new tokens).

    A prompt over the budget is a batch of one. Prompts that share a medium are adjacent.
    """
    batches: list[list[Planned]] = []
    longest = 0
    for prompt in longest_first(prompts):
        grown = max(longest, prompt.tokens)
        if batches and (len(batches[-1]) + 1) * (grown + new_tokens) <= budget:
            batches[-1].append(prompt)
            longest = grown
        else:
            batches.append([prompt])
            longest = prompt.tokens
    return batches


class Lookahead(Generic[Prepared]):
    """Prefetches media in threads for the batches that follow."""

    def __init__(self, prepare: Callable[[str], Prepared], threads: Executor, tokens_ahead: int) -> None:
        """Configure prefetching.

        Args:
            prepare: Converts a medium, given by its key, to model input; an exception is set on the key's future.
            threads: Threads that call `prepare`.
            tokens_ahead: Prefetching stops once this many tokens beyond the current batch are prefetched.
        """
        self._prepare = prepare
        self._threads = threads
        self._tokens_ahead = tokens_ahead

    def run(self, batches: Sequence[list[Planned]]) -> Iterator[tuple[list[Planned], dict[str, Future[Prepared]]]]:
        """Yield each batch with the futures of its media, by key, which need not be done."""
        uses = Counter(key for batch in batches for prompt in batch for key in set(prompt.media))
        ready: dict[str, Future[Prepared]] = {}
        waiting = deque(prompt for batch in batches for prompt in batch)
        ahead = 0
        try:
            for batch in batches:
                limit = self._tokens_ahead + sum(prompt.tokens for prompt in batch)
                while waiting and (ahead < limit or waiting[0] in batch):
                    prompt = waiting.popleft()
                    ahead += prompt.tokens
                    for key in prompt.media:
                        if key not in ready:
                            ready[key] = self._threads.submit(self._prepare, key)
                media = {key: ready[key] for prompt in batch for key in prompt.media}
                yield batch, media
                ahead -= sum(prompt.tokens for prompt in batch)
                uses.subtract(key for prompt in batch for key in set(prompt.media))
                for key in media:
                    if not uses[key]:
                        ready.pop(key, None)
        finally:  # also if the caller stops early
            for future in ready.values():
                future.cancel()
