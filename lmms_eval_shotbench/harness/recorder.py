"""Recording of responses between lmms-eval and any of its models.

Each response is stored as soon as it exists, so a run that was killed continues where it ended. A request that fails
costs its own question, not the run, and is asked again by the next run. What is no response (null, an error text of the
host, an exception) becomes a `Failure` here, before any text exists that could be graded.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lmms_eval_shotbench.harness.asking import ask, keeps_own_responses, runs_in_lockstep
from lmms_eval_shotbench.harness.request_keys import key_of
from lmms_eval_shotbench.model_args import parse_model_args
from lmms_eval_shotbench.progress import library_bars_hidden, progress_bar
from lmms_eval_shotbench.runs.response_store import Answer, Failure, Response, ResponseStore
from lmms_eval_shotbench.runs.responses import StoredResponse

logger = logging.getLogger(__name__)
MOST_FAILURES = 50  # in a row, after which the run stops: the model or its server is gone


class RunStopped(RuntimeError):
    """A run that was stopped; the message states why, and the user needs no traceback."""


class Asked(NamedTuple):
    """One request: the document `doc_id` of a task, and the number of the sample, from 1."""

    task: str
    doc_id: int
    sample: int = 1


@dataclass(frozen=True)
class SamplePlan:
    """Number of samples of each question, their temperature (None: the task's settings), and the seed of the first."""

    samples: int = 1
    temperature: float | None = None
    seed: int = 0

    def settings(self, given: Mapping[str, Any], sample: int, question: str = "") -> dict[str, Any]:
        """Return a request's generation settings for one sample.

        Args:
            given: Those of the task.
            sample: Number of the sample, from 1.
            question: Mixed into the seed, for a model that draws the same random numbers for every request with one
                seed: its errors on different questions would be related.
        """
        if self.temperature is None:
            return dict(given)
        seed = self.seed + sample - 1
        if question:
            seed = int.from_bytes(hashlib.sha256(f"{seed} {question}".encode()).digest()[:4]) >> 1  # a positive int32
        return {**given, "temperature": self.temperature, "do_sample": self.temperature > 0, "seed": seed}


@dataclass
class Recorder:
    """Stands in front of a model; `answers` has what became of each request of these tasks, of all ranks."""

    settings: Mapping[str, Any]  # what determines a response in addition to its request
    folder: Path | None
    tasks: Collection[str]
    sampling: SamplePlan = SamplePlan()
    rank: int = 0
    timeout: float | None = None  # of a request in seconds; lmms-eval's `openai` ignores its own argument
    batch_size: str = "1"  # as given to lmms-eval
    answers: dict[Asked, Answer] = field(default_factory=dict)
    engine: Mapping[str, Any] = field(default_factory=dict)  # `provenance` of a model that has it

    def attach(self, model: Any) -> Any:
        """Record the model's responses from now on; returns the model."""
        if self.timeout is not None and hasattr(getattr(model, "client", None), "timeout"):
            model.client.timeout = self.timeout
        model.generate_until = partial(self._generate, model, model.generate_until)
        return model

    def responses(self) -> dict[Asked, StoredResponse]:
        """Return the recorded answers as they are scored; a failure is unanswered, with its reason."""
        return {asked: _stored(answer) for asked, answer in self.answers.items()}

    def _generate(self, model: Any, generate: Any, requests: Sequence[Any]) -> list[Any]:
        """Answer requests in place of `model.generate_until`; those of other tasks are passed on."""
        theirs = [request for request in requests if request.args[4] not in self.tasks]
        others = iter(generate(theirs) if theirs else ())
        asked = {_first_asked(request): request for request in requests if request.args[4] in self.tasks}
        try:
            self._answer(model, generate, asked)
        except Exception:
            self._gather()
            raise
        self.engine = getattr(model, "provenance", {})
        self._gather()
        return [
            _result(self.answers[_first_asked(request)]) if request.args[4] in self.tasks else next(others)
            for request in requests
        ]

    def _answer(self, model: Any, generate: Any, asked: Mapping[Asked, Any]) -> None:
        """Answer these requests, each distinct one once, and only those without a stored response."""
        wanted = {
            one._replace(sample=sample): self._sampled(model, request, sample)
            for sample in range(1, self.sampling.samples + 1)
            for one, request in asked.items()
        }
        if keeps_own_responses(model):
            ask(model, generate, [wanted], self.answers.update)
            return
        same: dict[str, list[Asked]] = {}
        for one, request in wanted.items():
            sample = one.sample if self.sampling.samples > 1 else None
            same.setdefault(key_of(model, request, self.settings, sample), []).append(one)
        store = ResponseStore(self.folder, self.rank)
        stored = {key: kept for key in same if (kept := store.get(key))}
        self._share({key: same[key] for key in stored}, stored)
        if stored and self.rank == 0:
            logger.info("%d of %d responses are stored from an earlier run", len(stored), len(same))
        # Batches are formed of all requests, so that they are the same after an interruption.
        keys, size = list(same), int(self.batch_size) if self.batch_size.isdigit() else 1
        size = max(size, len(getattr(model, "_workers", ())))  # `async_hf_model` gives one request to each device
        batches = [keys[start : start + size] for start in range(0, len(keys), size)]
        pending = [{key: wanted[same[key][0]] for key in batch if key not in stored} for batch in batches]
        pending = list(filter(None, pending))
        if keys and runs_in_lockstep(model):
            repeated = {keys[0]: wanted[same[keys[0]][0]]}
            pending += [repeated] * (max(_of_all_ranks(len(pending))) - len(pending))
        failures = 0

        with _bar(type(model).__name__ if self.rank == 0 else "", len(same), len(stored)) as bar:

            def keep(found: Mapping[str, Answer]) -> None:
                nonlocal failures
                if responses := {key: answer for key, answer in found.items() if isinstance(answer, Response)}:
                    found = {**found, **store.keep(responses)}
                self._share(same, found)
                bar.update(len(found))
                for answer in found.values():
                    if isinstance(answer, Response):
                        failures = 0
                    elif not answer.broken_medium:
                        failures += 1
                        if failures >= MOST_FAILURES:
                            raise RunStopped(f"{failures} requests in a row failed, the last: {answer.reason}")

            ask(model, generate, pending, keep)

    def _share(self, same: Mapping[str, Sequence[Asked]], answers: Mapping[str, Answer]) -> None:
        """Record each answer, which costs only the first of those who asked for the same."""
        for key, answer in answers.items():
            first, *others = same[key]
            self.answers |= {first: answer}
            self.answers |= dict.fromkeys(others, answer.repeated() if isinstance(answer, Response) else answer)

    def _sampled(self, model: Any, request: Any, sample: int) -> Any:
        """Return the request of one sample."""
        if self.sampling.temperature is None:
            return request
        position = 1 if model.is_simple else 2
        arguments = list(request.args)
        question = "" if keeps_own_responses(model) else f"{arguments[4]} {arguments[3]}"  # `shotvl` mixes it in itself
        arguments[position] = self.sampling.settings(arguments[position], sample, question)
        sampled = copy.copy(request)
        sampled.arguments = tuple(arguments)
        return sampled

    def _gather(self) -> None:
        """Exchange the answers of all ranks, as lmms-eval does with its samples."""
        for answers in _of_all_ranks(self.answers):
            self.answers |= answers


def _of_all_ranks(own: Any) -> list[Any]:
    """Return an object of each rank."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not (distributed.is_available() and distributed.is_initialized()):
        return [own]
    gathered: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, own)
    return gathered


def request_timeout(model_args: str) -> float | None:
    """Return the timeout of a request in seconds, if one is given; raises `ValueError`."""
    given = parse_model_args(model_args).get("timeout")
    try:
        return None if given is None else float(given)
    except ValueError:
        raise ValueError(f"--model_args timeout={given}: give a number of seconds") from None


def _first_asked(request: Any) -> Asked:
    return Asked(request.args[4], request.args[3])


def _stored(answer: Answer) -> StoredResponse:
    if isinstance(answer, Failure):
        return StoredResponse.absent(answer.reason)
    return StoredResponse.of(answer)


def _result(answer: Answer) -> Any:
    """Return the answer in the form that lmms-eval expects of a model."""
    from lmms_eval_shotbench.harness.token_counts import result_of

    return result_of(answer if isinstance(answer, Response) else Response(_stored(answer).text))


@contextmanager
def _bar(label: str, total: int, done: int) -> Iterator[Any]:
    """Show one bar for all requests, instead of the bars and log lines of each call of the model."""
    from loguru import logger as host_logger

    metrics = "lmms_eval.models.model_utils.gen_metrics"
    host_logger.disable(metrics)
    try:
        with progress_bar(label, total, "item", initial=done, disable=not label) as bar, library_bars_hidden():
            yield bar
    finally:
        host_logger.enable(metrics)
