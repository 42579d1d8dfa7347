"""How a model of lmms-eval is asked, so that each response is known as soon as it exists.

A model in this process gets one batch at a time; if a batch fails, its requests are asked one by one. A client of a
server gets one request in each of its threads. `async_openai` asks concurrently by itself, and is observed.
"""

from __future__ import annotations

import gc
import queue
import random
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from lmms_eval_shotbench.harness.replies import answer_of, failure, replies_checked, reply_noted
from lmms_eval_shotbench.runs.response_store import Answer

Generate = Callable[[list[Any]], Sequence[Any]]  # `generate_until` of a model
Keep = Callable[[Mapping[Any, Answer]], None]  # called with answers, by name of the request, as they come
Batch = Mapping[Any, Any]  # requests by name


def keeps_own_responses(model: Any) -> bool:
    """Whether the model stores its responses by itself, or has them stored already."""
    return bool(getattr(model, "keeps_own_responses", False))


def ask(model: Any, generate: Generate, batches: Sequence[Batch], keep: Keep) -> None:
    """Ask a model, and pass on each answer as soon as it exists.

    Args:
        model: A model of lmms-eval.
        generate: Its `generate_until`.
        batches: Requests to ask at once, by name.
        keep: Called with the answers, by name; an exception of it ends the run.
    """
    requests = {name: request for batch in batches for name, request in batch.items()}
    if keeps_own_responses(model) or _is_sharded(model):
        outputs = generate(list(requests.values()))
        keep({name: answer_of(model, one, requests[name], True) for name, one in zip(requests, outputs, strict=True)})
    elif hasattr(model, "maybe_forward_with_tool"):
        _ask_concurrently(model, generate, requests, keep)
    elif hasattr(model, "num_concurrent"):
        with replies_checked(model), _no_inner_threads(model):
            _ask_in_threads(model, generate, requests, keep)
    else:
        for batch in batches:
            keep(_ask_batch(model, generate, batch))


def _ask_batch(model: Any, generate: Generate, batch: Batch) -> dict[Any, Answer]:
    requests = list(batch.values())
    _seed(requests[0])
    try:
        outputs = generate(requests)
        if len(outputs) != len(requests):
            raise RuntimeError(f"{len(requests)} requests got {len(outputs)} responses")
    except Exception as error:
        if len(batch) == 1:
            return dict.fromkeys(batch, failure(error))
        _free_memory()
        return {
            name: answer for name, request in batch.items()
            for answer in _ask_batch(model, generate, {name: request}).values()
        }  # fmt: skip
    padded = len(batch) > 1
    return {
        name: answer_of(model, output, request, padded)
        for (name, request), output in zip(batch.items(), outputs, strict=True)
    }


def _ask_in_threads(model: Any, generate: Generate, requests: Batch, keep: Keep) -> None:
    """Ask a server in `num_concurrent` threads, which do not outlive an interruption of this one."""
    pending, answered = queue.SimpleQueue[Any](), queue.SimpleQueue[tuple[Any, Answer]]()
    stopped = threading.Event()

    def work() -> None:
        while not stopped.is_set():
            try:
                name, request = pending.get_nowait()
            except queue.Empty:
                return
            with reply_noted() as reply:
                try:
                    (output,) = generate([request])
                    answered.put((name, answer_of(model, output, request, False, reply)))
                except Exception as error:
                    answered.put((name, failure(error)))

    for item in requests.items():
        pending.put(item)
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(int(model.num_concurrent), len(requests)))]
    try:
        for thread in threads:
            thread.start()
        for _ in requests:
            name, answer = answered.get()
            keep({name: answer})
    finally:
        stopped.set()


class _Stop(BaseException):
    """Carries an exception of `keep` out of a coroutine whose caller retries after any `Exception`."""


def _ask_concurrently(model: Any, generate: Generate, requests: Batch, keep: Keep) -> None:
    """Observe a model that asks its requests concurrently, each by `maybe_forward_with_tool`, with retries."""
    names, forward = list(requests), model.maybe_forward_with_tool
    kept: set[Any] = set()
    attempts = dict.fromkeys(range(len(names)), 0)

    def keep_or_stop(name: Any, answer: Answer) -> None:
        kept.add(name)
        try:
            keep({name: answer})
        except Exception as error:
            raise _Stop from error

    async def observed(request: Any, index: int) -> Any:
        attempts[index] += 1
        with reply_noted(request) as reply:
            try:
                text, position, counts = await forward(request, index)
            except Exception as error:
                if attempts[index] >= model.max_retries:
                    keep_or_stop(names[index], failure(error))
                raise
        keep_or_stop(names[index], answer_of(model, (text, counts), request, False, reply))
        return text, position, counts

    with replies_checked(model), patch.object(model, "maybe_forward_with_tool", observed):
        try:
            outputs = generate(list(requests.values()))
        except _Stop as stop:
            raise stop.__cause__ or stop from None
    unkept = {name: output for name, output in zip(names, outputs, strict=True) if name not in kept}
    keep({name: answer_of(model, output, requests[name], False) for name, output in unkept.items()})


@contextmanager
def _no_inner_threads(model: Any) -> Iterator[None]:
    """Let the model's own thread pools work in the thread that asks, which an interruption may leave behind."""
    modules = {sys.modules[base.__module__] for base in type(model).__mro__}
    with ExitStack() as stack:
        for module in modules:
            if hasattr(module, "ThreadPoolExecutor") and module.__name__.startswith("lmms_eval."):
                stack.enter_context(patch.object(module, "ThreadPoolExecutor", _ThisThread))
        yield


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


def _is_sharded(model: Any) -> bool:
    """Whether ranks share one model, so that all must generate equally often and no request may be left out."""
    accelerator = getattr(model, "accelerator", None)
    kind = str(getattr(accelerator, "distributed_type", ""))
    return getattr(model, "world_size", 1) > 1 and kind.endswith(("FSDP", "DEEPSPEED"))


def _seed(request: Any) -> None:
    """Seed the generators of this process, if the request is one of several samples."""
    settings = next((one for one in request.args if isinstance(one, dict) and "seed" in one), {})
    if (seed := settings.get("seed")) is not None:
        random.seed(seed)
        for name, function in (("numpy", "random.seed"), ("torch", "manual_seed")):
            if module := sys.modules.get(name):
                owner, _, last = function.rpartition(".")
                getattr(getattr(module, owner) if owner else module, last)(seed)


def _free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
