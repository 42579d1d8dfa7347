"""How a model of lmms-eval is asked, so that each response is known as soon as it exists.

A model in this process gets one batch at a time; if a batch fails, its requests are asked one by one. A client of a
server gets one request in each of its threads. `async_openai` asks concurrently by itself, and is observed.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import itertools
import queue
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from unittest.mock import patch

from lmms_eval_shotbench.harness.generations import generations_noted, generations_of
from lmms_eval_shotbench.harness.replies import (
    answer_of,
    errors_noted,
    failure,
    note_generations,
    replies_checked,
    reply_noted,
)
from lmms_eval_shotbench.runs.response_store import Answer
from lmms_eval_shotbench.runs.run_time import SharedTime

Generate = Callable[[list[Any]], Sequence[Any]]  # `generate_until` of a model
Keep = Callable[[Mapping[Any, Answer]], None]  # called with answers, by name of the request, as they come
Batch = Mapping[Any, Any]  # requests by name
# Models that can be asked once only: one ends its server afterwards, the other submits a job that takes hours
ASKED_ONCE = {"lmms_eval.models.simple.srt_api", "lmms_eval.models.simple.batch_gpt4"}
MODEL_TIME = SharedTime()  # of the model in this process


def keeps_own_responses(model: Any) -> bool:
    """Whether the model stores its responses by itself, or has them stored already."""
    return bool(getattr(model, "keeps_own_responses", False))


def runs_in_lockstep(model: Any) -> bool:
    """Whether ranks share one model, so that all must generate equally often."""
    if getattr(model, "world_size", 1) <= 1:
        return False
    kind = str(getattr(getattr(model, "accelerator", None), "distributed_type", ""))
    parallel = (getattr(model, f"{name}_parallel_size", 1) for name in ("tensor", "data"))
    return kind.endswith(("FSDP", "DEEPSPEED")) or any(size > 1 for size in parallel)


def ask(model: Any, generate: Generate, batches: Sequence[Batch], keep: Keep) -> None:
    """Ask a model, and pass on each answer as soon as it exists.

    Args:
        model: A model of lmms-eval.
        generate: Its `generate_until`.
        batches: Requests to ask at once, by name.
        keep: Called with the answers, by name; an exception of it ends the run.
    """
    requests = {name: request for batch in batches for name, request in batch.items()}
    threaded = hasattr(model, "num_concurrent")
    with (
        errors_noted(),
        replies_checked(model),
        generations_noted(model, note_generations),
        _thread_pools(model, _ThisThread if threaded else _CancelledPool),
    ):
        if keeps_own_responses(model) or type(model).__module__ in ASKED_ONCE:
            keep(_answers(model, generate, requests))
        elif hasattr(model, "maybe_forward_with_tool"):
            _ask_concurrently(model, generate, requests, keep)
        elif threaded:
            _ask_in_threads(model, generate, requests, keep)
        else:
            ask_batch = _answers if runs_in_lockstep(model) else _answers_or_failures
            for batch in batches:
                keep(ask_batch(model, generate, batch))


def _answers(model: Any, generate: Generate, batch: Batch) -> dict[Any, Answer]:
    """Ask a batch; raises like the model."""
    if not batch:
        return {}
    requests = list(batch.values())
    seeded = _seed(requests[0])
    asked = list(map(_without_seed, requests)) if seeded and not _takes_seed(model) else requests
    with reply_noted(requests[0] if len(requests) == 1 else None) as reply, MODEL_TIME.measured(len(batch)) as share:
        outputs = generate(asked)
    if len(outputs) != len(requests):
        raise RuntimeError(f"{len(requests)} requests got {len(outputs)} responses")
    return {
        name: answer_of(output, request, reply, share.seconds, generation, padded=len(batch) > 1)
        for (name, request), output, generation in zip(
            batch.items(), outputs, generations_of(reply.get("generations", ()), len(batch)), strict=True
        )
    }


def _answers_or_failures(model: Any, generate: Generate, batch: Batch) -> dict[Any, Answer]:
    """Ask a batch, and one by one if it fails."""
    try:
        return _answers(model, generate, batch)
    except Exception as error:
        if len(batch) == 1:
            return dict.fromkeys(batch, failure(error))
    _free_memory()  # here, because the exception held the batch's tensors
    single = (_answers_or_failures(model, generate, {name: request}) for name, request in batch.items())
    return {name: answer for answers in single for name, answer in answers.items()}


def _ask_in_threads(model: Any, generate: Generate, requests: Batch, keep: Keep) -> None:
    """Ask a server in `num_concurrent` threads, which do not outlive an interruption of this one.

    A request is sent when an answer is stored: those asked and not stored are never more than the threads.
    """
    pending, answered = queue.SimpleQueue[Any](), queue.SimpleQueue[tuple[Any, Answer]]()
    waiting, count = iter(requests.items()), min(int(model.num_concurrent), len(requests))
    stopped = threading.Event()  # nothing is asked from then on: what this module replaces is as it was

    def work() -> None:
        while not ((item := pending.get()) is None or stopped.is_set()):
            name, request = item
            with reply_noted(request) as reply:
                try:
                    with MODEL_TIME.measured() as share:
                        (output,) = generate([request])
                    answered.put((name, answer_of(output, request, reply, share.seconds)))
                except Exception as error:
                    answered.put((name, failure(error)))

    def send(number: int) -> int:
        sent = list(itertools.islice(waiting, number))
        for item in sent:
            pending.put(item)
        return len(sent)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    try:
        for thread in threads:
            thread.start()
        asked = send(count)
        while asked:
            found = dict([_next(answered)])
            while not answered.empty():
                found.update([answered.get()])
            keep(found)
            asked += send(len(found)) - len(found)
    finally:
        stopped.set()
        for _ in threads:
            pending.put(None)


def _next(answered: queue.SimpleQueue[Any]) -> Any:
    """Wait for an entry; with pauses, because a Ctrl-C just before a wait is noticed after it only."""
    while True:
        with suppress(queue.Empty):
            return answered.get(timeout=1)


class _Stop(BaseException):
    """Carries an exception of `keep` out of a coroutine whose caller retries after any `Exception`."""


def _ask_concurrently(model: Any, generate: Generate, requests: Batch, keep: Keep) -> None:
    """Observe a model that asks its requests concurrently, each by `maybe_forward_with_tool`, with retries."""
    names, forward = list(requests), model.maybe_forward_with_tool
    kept: set[Any] = set()
    attempts = dict.fromkeys(range(len(names)), 0)
    seconds = dict.fromkeys(range(len(names)), 0.0)
    coroutines: set[asyncio.Task[Any] | None] = set()
    errors: list[Exception] = []  # of `keep`

    def keep_or_stop(name: Any, answer: Answer) -> None:
        kept.add(name)
        try:
            keep({name: answer})
        except Exception as error:
            errors.append(error)
            raise _Stop from None

    async def observed(request: Any, index: int) -> Any:
        coroutines.add(asyncio.current_task())
        attempts[index] += 1
        with reply_noted(request) as reply:
            try:
                with MODEL_TIME.measured() as share:
                    text, position, counts = await forward(request, index)
            except Exception as error:
                if attempts[index] >= model.max_retries:
                    keep_or_stop(names[index], failure(error))
                raise
            finally:
                seconds[index] += share.seconds
        keep_or_stop(names[index], answer_of((text, counts), request, reply, seconds[index]))
        return text, position, counts

    with patch.object(model, "maybe_forward_with_tool", observed), _interrupted_at_once(), _ended_silently(coroutines):
        try:
            outputs = generate(list(requests.values()))
        except _Stop:
            raise errors[0] from None
    unkept = {name: output for name, output in zip(names, outputs, strict=True) if name not in kept}
    keep({name: answer_of(output, requests[name]) for name, output in unkept.items()})


@contextmanager
def _interrupted_at_once() -> Iterator[None]:
    """Let Ctrl-C end asyncio where it is; by default, each coroutine first encodes its media up to its next pause."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)  # asyncio replaces Python's own handler only
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _ended_silently(coroutines: set[asyncio.Task[Any] | None]) -> Iterator[None]:
    """Take note of why coroutines ended, which asyncio prints with a traceback if nobody does."""
    try:
        yield
    finally:
        for one in coroutines:
            if one is not None and one.done() and not one.cancelled():
                one.exception()


@contextmanager
def _thread_pools(model: Any, pool: type) -> Iterator[None]:
    """Replace the thread pools that the model makes, which would delay the end of a run that is interrupted."""
    modules = {sys.modules[base.__module__] for base in type(model).__mro__}
    with ExitStack() as stack:
        for module in modules:
            if hasattr(module, "ThreadPoolExecutor") and module.__name__.startswith("lmms_eval."):
                stack.enter_context(patch.object(module, "ThreadPoolExecutor", pool))
        yield


class _CancelledPool(ThreadPoolExecutor):
    """A pool whose pending work is cancelled by an exception, where Python's own pool would finish it first."""

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self.shutdown(wait=error is None, cancel_futures=error is not None)


class _ThisThread:
    """An executor that runs each function at once, in the thread that submits it."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def submit(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Future[Any]:
        """Return a finished future."""
        future = Future[Any]()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future

    def __enter__(self) -> _ThisThread:
        return self

    def __exit__(self, *_: object) -> None: ...


def _seed(request: Any) -> bool:
    """Seed the generators of this process, if the request has a seed; return whether it has."""
    seed = next((one["seed"] for one in request.args if isinstance(one, dict) and "seed" in one), None)
    if seed is None:
        return False
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)
    return True


def _takes_seed(model: Any) -> bool:
    """Whether a seed may be among the generation settings; `generate` of transformers refuses it."""
    return keeps_own_responses(model) or hasattr(model, "client")  # of a server, or vLLM's engine


def _without_seed(request: Any) -> Any:
    """Return the request without its seed, which this process's generators have; equal settings share a batch."""
    unseeded = copy.copy(request)
    unseeded.arguments = tuple(
        {name: value for name, value in one.items() if name != "seed"} if isinstance(one, dict) else one
        for one in request.args
    )
    return unseeded


def _free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
