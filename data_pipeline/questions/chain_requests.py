"""Concurrent, rate-limited requests to one chat endpoint, with retries after transient errors.

Owns the rate limit, the retries and when to give up. A single request is in
`lmms_eval_shotbench/grading/chat_endpoint.py`, the prompts are in `chain_prompts.py`. The API key comes from
$OPENAI_API_KEY and is sent in the authorization header only.
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

from data_pipeline.defects import Flaw
from data_pipeline.medium_guard import MediumGuard
from lmms_eval_shotbench.grading.chat_endpoint import (
    ChatReply,
    check_base_url,
    open_client,
    pause_seconds,
    request_reply,
)

MAX_ATTEMPTS = 5  # requests per item
MAX_PAUSE_SECONDS = 60.0  # endpoints with a limit per minute ask for no longer pause
GIVE_UP_AFTER = 20  # consecutive failed items: the endpoint is down or refuses the requests
REPLY_CHARACTERS = 16_000  # longer than any accepted chain
UNSENT = "medium: "  # prefix of the error of an item whose medium cannot be decoded
MIN_SECRET_LENGTH = 16  # shorter keys are placeholders such as EMPTY, which a reply may contain


class EndpointFailed(RuntimeError):
    """The endpoint is down or refuses everything."""


@dataclass(frozen=True)
class Endpoint:
    """The model, its endpoint and the request limits."""

    base_url: str
    model: str
    concurrency: int = 8  # requests in flight
    requests_per_minute: float = 0.0  # 0: unlimited
    max_tokens: int = 1024  # per reply
    timeout_seconds: float = 120.0  # per request

    def __post_init__(self) -> None:
        check_base_url(self.base_url, "endpoint's")
        if not self.model.strip():
            raise ValueError("the endpoint needs the name of a model")
        rate, timeout = self.requests_per_minute, self.timeout_seconds
        if self.concurrency < 1 or self.max_tokens < 1 or not 0 <= rate < inf or not timeout > 0:
            raise ValueError(
                "concurrency and max_tokens must be at least 1, requests_per_minute a finite number of at least 0"
            )


class ChainRequest(NamedTuple):
    """The request for one item; `message` is called in the worker thread that sends it."""

    key: str
    message: Callable[[], list[dict[str, Any]]]


_STOP = ChainRequest("", list)


class RateLimiter:
    """Rate limiter shared by all threads; `hold` makes every thread wait."""

    def __init__(self, requests_per_minute: float) -> None:
        self.stopped = threading.Event()
        self._gap = 60 / requests_per_minute if requests_per_minute else 0.0
        self._queue, self._next_lock = threading.Lock(), threading.Lock()
        self._next = 0.0

    def acquire(self) -> None:
        """Block until the next request may be sent; return at once when stopped."""
        with self._queue:
            while (delay := self._next - time.monotonic()) > 0 and not self.stopped.wait(delay):
                pass
            with self._next_lock:
                self._next = max(self._next, time.monotonic() + self._gap)

    def hold(self, seconds: float) -> None:
        """Delay the requests of all threads by at least `seconds`."""
        with self._next_lock:
            self._next = max(self._next, time.monotonic() + seconds)


def receive_replies(endpoint: Endpoint, requests: Iterable[ChainRequest]) -> Generator[tuple[str, ChatReply]]:
    """Send all requests and yield (key, reply) in order of completion.

    Raises:
        EndpointFailed: too many consecutive failures, or no reply at all.
    """
    failures, succeeded, first_error = 0, False, ""
    max_failures = max(GIVE_UP_AFTER, 2 * endpoint.concurrency)
    with _open_sender(endpoint) as send, closing(_send_concurrently(send, requests, endpoint.concurrency)) as results:
        for key, reply in results:
            if reply.reply is not None:
                succeeded, failures = True, 0
            elif not reply.error.startswith(UNSENT):
                failures, first_error = failures + 1, first_error or reply.error
            if failures >= max_failures:
                raise EndpointFailed(f"{endpoint.base_url} failed on {failures} items in a row: {reply.error}")
            yield key, reply
    if first_error and not succeeded:
        raise EndpointFailed(f"{endpoint.base_url} gave no reply at all: {first_error}")


@contextmanager
def _open_sender(endpoint: Endpoint) -> Iterator[Callable[[ChainRequest], ChatReply]]:
    client = open_client(endpoint.base_url, "", endpoint.timeout_seconds)
    limiter = RateLimiter(endpoint.requests_per_minute)
    with client:
        try:
            yield partial(_send, client, endpoint, limiter)
        finally:
            limiter.stopped.set()


def _send_concurrently(
    send: Callable[[ChainRequest], ChatReply], requests: Iterable[ChainRequest], concurrency: int
) -> Generator[tuple[str, ChatReply]]:
    """Send requests from daemon threads, a few queued ahead; a thread pool would delay Ctrl-C for minutes."""
    pending: SimpleQueue[ChainRequest] = SimpleQueue()
    done: SimpleQueue[tuple[str, ChatReply | Exception]] = SimpleQueue()
    for _ in range(concurrency):
        threading.Thread(target=_run_worker, args=(send, pending, done), daemon=True).start()
    in_flight = 0
    try:
        for request in requests:
            pending.put(request)
            in_flight += 1
            if in_flight >= 2 * concurrency:
                yield _next_result(done)
                in_flight -= 1
        for _ in range(in_flight):
            yield _next_result(done)
    finally:
        with suppress(Empty):
            while True:
                pending.get_nowait()
        for _ in range(concurrency):
            pending.put(_STOP)


def _run_worker(
    send: Callable[[ChainRequest], ChatReply],
    pending: SimpleQueue[ChainRequest],
    done: SimpleQueue[tuple[str, ChatReply | Exception]],
) -> None:
    while (request := pending.get()) is not _STOP:
        try:
            done.put((request.key, send(request)))
        except Exception as error:  # re-raised by `_next_result` in the consuming thread
            done.put((request.key, error))


def _next_result(done: SimpleQueue[tuple[str, ChatReply | Exception]]) -> tuple[str, ChatReply]:
    key, reply = done.get()
    if isinstance(reply, Exception):
        raise reply
    return key, reply


def _send(client: Any, endpoint: Endpoint, limiter: RateLimiter, request: ChainRequest) -> ChatReply:
    """Send a request, retrying transient errors with growing pauses or the pause the endpoint requests."""
    flaws: list[Flaw] = []
    with MediumGuard(flaws.append, "preparing it"):
        message = request.message()
    if flaws:
        return ChatReply(None, f"{UNSENT}{flaws[0].detail}", retryable=False)
    reply = ChatReply(None, "stopped")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        limiter.acquire()
        if limiter.stopped.is_set():
            break
        reply = request_reply(client, endpoint.model, message, tokens=endpoint.max_tokens, characters=REPLY_CHARACTERS)
        if reply.reply is not None or not reply.retryable or attempt == MAX_ATTEMPTS:
            break
        pause = pause_seconds(attempt, reply.retry_after, MAX_PAUSE_SECONDS)
        if reply.retry_after:  # applies to every request with this key
            limiter.hold(pause)
        else:
            limiter.stopped.wait(pause)
    return _reject_echoed_key(reply)


def _reject_echoed_key(reply: ChatReply) -> ChatReply:
    """Reject a reply that echoes the API key, which would otherwise end up in files."""
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    echoed = len(key) >= MIN_SECRET_LENGTH and reply.reply is not None and key in reply.reply
    return ChatReply(None, "the reply echoes the API key") if echoed else reply
