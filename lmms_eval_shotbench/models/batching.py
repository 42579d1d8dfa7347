"""Which prompts are answered together, and how their media are made ready ahead of the model.

Batches are formed by tokens, longest first: so padding is small, and a batch that does not fit fails at the start of a
run and not at its end. Media are prepared by threads (decoders work outside Python's lock) while the model works, each
distinct medium once; how much may lie ready is bounded by tokens.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from typing import Generic, NamedTuple, TypeVar

Prepared = TypeVar("Prepared")
LENGTH_STEP = 64  # prompts whose lengths differ by less keep their order, and so their place in the shards


class Planned(NamedTuple):
    """A prompt before its media are opened: place in the caller's list, estimated tokens, keys of its media."""

    place: int
    tokens: int
    media: tuple[str, ...] = ()


def plan_batches(prompts: Sequence[Planned], budget: int, new_tokens: int) -> list[list[Planned]]:
    """Longest first; rows times (longest prompt + new tokens) stays within `budget`, but a batch has one row at least.

    Prompts that share a medium stand together.
    """
    first_seen: dict[tuple[str, ...], int] = {}
    for prompt in prompts:
        first_seen.setdefault(prompt.media, prompt.place)
    ordered = sorted(prompts, key=lambda p: (-(p.tokens // LENGTH_STEP), first_seen[p.media], p.place))
    batches: list[list[Planned]] = []
    longest = 0
    for prompt in ordered:
        grown = max(longest, prompt.tokens)
        if batches and (len(batches[-1]) + 1) * (grown + new_tokens) <= budget:
            batches[-1].append(prompt)
            longest = grown
        else:
            batches.append([prompt])
            longest = prompt.tokens
    return batches


class Lookahead(Generic[Prepared]):
    """Prepares media in threads, ahead of the batches that need them."""

    def __init__(self, prepare: Callable[[str], Prepared], threads: Executor, tokens_ahead: int) -> None:
        """`prepare` turns a medium's key into what the model is given; an error of it is raised for its prompts."""
        self._prepare = prepare
        self._threads = threads
        self._tokens_ahead = tokens_ahead

    def run(self, batches: Sequence[list[Planned]]) -> Iterator[tuple[list[Planned], dict[str, Future[Prepared]]]]:
        """Yield each batch with its media, done or failed."""
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
                wait(media.values())
                yield batch, media
                ahead -= sum(prompt.tokens for prompt in batch)
                uses.subtract(key for prompt in batch for key in set(prompt.media))
                for key in media:
                    if not uses[key]:
                        ready.pop(key, None)
        finally:  # also when the caller stops early
            for future in ready.values():
                future.cancel()
