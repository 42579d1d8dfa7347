"""Many requests to one chat endpoint: some at once, no more a minute than allowed, and patient where trouble may pass.

Owns the pace, the retries and when to give up. A single request is in
`lmms_eval_shotbench/grading/chat_endpoint.py`, what is asked in `chain_prompts.py`. The API key comes from
$OPENAI_API_KEY and goes into the authorization header alone.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from lmms_eval_shotbench.grading.chat_endpoint import (
    ChatReply,
    check_base_url,
    open_client,
    pause_seconds,
    request_reply,
)
from lmms_eval_shotbench.media.stills import BrokenMedium

TRIES = 5  # requests for one item
LONGEST_PAUSE = 60.0  # seconds; endpoints that count by the minute ask for no more
GIVE_UP_AFTER = 20  # items that fail in a row: the endpoint is down, or refuses what we send
REPLY_CHARACTERS = 16_000  # more than any chain that is kept
UNSENT = "medium: "  # how the error of an item begins whose medium cannot be shown
SECRET_LETTERS = 16  # shorter keys are placeholders such as EMPTY, and may well stand in a reply


class EndpointFailed(RuntimeError):
    """The endpoint is down or refuses everything."""


@dataclass(frozen=True)
class Endpoint:
    """Which model is asked, and how fast."""

    base_url: str
    model: str
    concurrency: int = 8  # requests under way at once
    requests_per_minute: float = 0.0  # 0: as many as come
    max_tokens: int = 1024  # of a reply
    timeout_seconds: float = 120.0  # of one request

    def __post_init__(self) -> None:
        check_base_url(self.base_url, "endpoint's")
        if not self.model.strip():
            raise ValueError("the endpoint needs the name of a model")
        pace, patience = self.requests_per_minute, self.timeout_seconds
        if self.concurrency < 1 or self.max_tokens < 1 or not 0 <= pace < inf or not patience > 0:
            raise ValueError("concurrency and max_tokens must be at least 1, requests_per_minute a number from 0 up")


class ChainRequest(NamedTuple):
    """What is asked of one item; `message` is called by the thread that asks."""

    key: str
    message: Callable[[], list[dict[str, Any]]]


_NO_MORE = ChainRequest("", list)


class Pace:
    """One request every so often, counted over all threads; everybody can be made to wait."""

    def __init__(self, requests_per_minute: float) -> None:
        self.stopped = threading.Event()
        self._gap = 60 / requests_per_minute if requests_per_minute else 0.0
        self._turn, self._change = threading.Lock(), threading.Lock()
        self._next = 0.0

    def take(self) -> None:
        """Wait for the next request's turn; return at once when stopped."""
        with self._turn:
            while (delay := self._next - time.monotonic()) > 0 and not self.stopped.wait(delay):
                pass
            with self._change:
                self._next = max(self._next, time.monotonic() + self._gap)

    def hold(self, seconds: float) -> None:
        """Let nobody ask for so long."""
        with self._change:
            self._next = max(self._next, time.monotonic() + seconds)


def answers(endpoint: Endpoint, requests: Iterable[ChainRequest]) -> Generator[tuple[str, ChatReply]]:
    """Ask, and yield (key, answer) as they come.

    Raises:
        EndpointFailed: too many failures in a row, or nothing but failures.
    """
    failures, succeeded, first = 0, False, ""
    most = max(GIVE_UP_AFTER, 2 * endpoint.concurrency)
    with _asking(endpoint) as ask, closing(_spread(ask, requests, endpoint.concurrency)) as coming:
        for key, answer in coming:
            if answer.reply is not None:
                succeeded, failures = True, 0
            elif not answer.error.startswith(UNSENT):
                failures, first = failures + 1, first or answer.error
            if failures >= most:
                raise EndpointFailed(f"{endpoint.base_url} failed on {failures} items in a row: {answer.error}")
            yield key, answer
    if first and not succeeded:
        raise EndpointFailed(f"{endpoint.base_url} gave no reply at all: {first}")


@contextmanager
def _asking(endpoint: Endpoint) -> Iterator[Callable[[ChainRequest], ChatReply]]:
    client = open_client(endpoint.base_url, "", endpoint.timeout_seconds)
    pace = Pace(endpoint.requests_per_minute)
    with client:
        try:
            yield partial(_ask, client, endpoint, pace)
        finally:
            pace.stopped.set()


def _spread(
    ask: Callable[[ChainRequest], ChatReply], requests: Iterable[ChainRequest], concurrency: int
) -> Generator[tuple[str, ChatReply]]:
    """Ask with so many threads, a few requests ahead. Nobody waits for them: a pool would keep Ctrl-C for minutes."""
    todo: SimpleQueue[ChainRequest] = SimpleQueue()
    done: SimpleQueue[tuple[str, ChatReply | Exception]] = SimpleQueue()
    for _ in range(concurrency):
        threading.Thread(target=_work, args=(ask, todo, done), daemon=True).start()
    under_way = 0
    try:
        for request in requests:
            todo.put(request)
            under_way += 1
            if under_way >= 2 * concurrency:
                yield _taken(done)
                under_way -= 1
        for _ in range(under_way):
            yield _taken(done)
    finally:
        with suppress(Empty):
            while True:
                todo.get_nowait()
        for _ in range(concurrency):
            todo.put(_NO_MORE)


def _work(
    ask: Callable[[ChainRequest], ChatReply],
    todo: SimpleQueue[ChainRequest],
    done: SimpleQueue[tuple[str, ChatReply | Exception]],
) -> None:
    while (request := todo.get()) is not _NO_MORE:
        try:
            done.put((request.key, ask(request)))
        except Exception as error:  # raised again by `_taken`, in the thread that asked for it
            done.put((request.key, error))


def _taken(done: SimpleQueue[tuple[str, ChatReply | Exception]]) -> tuple[str, ChatReply]:
    key, answer = done.get()
    if isinstance(answer, Exception):
        raise answer
    return key, answer


def _ask(client: Any, endpoint: Endpoint, pace: Pace, request: ChainRequest) -> ChatReply:
    """Ask until there is a reply; trouble that may pass is met with growing pauses, as the endpoint wishes."""
    try:
        message = request.message()
    except BrokenMedium as error:
        return ChatReply(None, f"{UNSENT}{error}", retryable=False)
    answer = ChatReply(None, "stopped")
    for attempt in range(1, TRIES + 1):
        pace.take()
        if pace.stopped.is_set():
            break
        answer = request_reply(client, endpoint.model, message, tokens=endpoint.max_tokens, characters=REPLY_CHARACTERS)
        if answer.reply is not None or not answer.retryable or attempt == TRIES:
            break
        pause = pause_seconds(attempt, answer.retry_after, LONGEST_PAUSE)
        if answer.retry_after:  # meant for all that use this key, not for one request
            pace.hold(pause)
        else:
            pace.stopped.wait(pause)
    return _without_key(answer)


def _without_key(answer: ChatReply) -> ChatReply:
    """A reply that echoes the API key is none: it would end up in files."""
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    echoed = len(key) >= SECRET_LETTERS and answer.reply is not None and key in answer.reply
    return ChatReply(None, "the reply echoes the API key") if echoed else answer
