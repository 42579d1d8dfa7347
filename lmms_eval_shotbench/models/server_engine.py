"""Answer chats with an OpenAI-compatible server: many requests at once, with media encoded ahead of them.

The server forms batches. A request keeps its encoded media in memory, so the number of tokens in flight is limited.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import Any, NamedTuple, TypeVar

from lmms_eval_shotbench.harness.recorder import MOST_FAILURES
from lmms_eval_shotbench.media.stills import BrokenMedium
from lmms_eval_shotbench.models.batching import Lookahead, Planned, longest_first
from lmms_eval_shotbench.models.chats import GenerationSettings
from lmms_eval_shotbench.models.engine import EngineFailed, truncate_at
from lmms_eval_shotbench.models.host_memory import tokens_in_host_memory
from lmms_eval_shotbench.models.planning import Plan, Planner
from lmms_eval_shotbench.models.server_connection import Connection, RequestFailed, ServerArguments, ServerReply
from lmms_eval_shotbench.models.server_media import EncodedMedium, encoded_medium
from lmms_eval_shotbench.models.server_requests import VLLM, chat_request, check_prompts, prompt_difference
from lmms_eval_shotbench.models.vllm_sampling import sampling_fields
from lmms_eval_shotbench.qwen.inputs import Patches, Prompt
from lmms_eval_shotbench.runs.response_store import Answer, Failure, Response
from lmms_eval_shotbench.runs.run_time import SharedTime
from lmms_eval_shotbench.vocabulary import MediaKind

Result = TypeVar("Result")
COPIES = 4  # of a medium in memory, each of a byte per value: patches, pictures, their encoding, the request
MAX_MEMORY = 8 * 2**30  # bytes, of media that are encoded ahead, wait or are being sent
NO_CLIP = "no clip was asked"
WAIT_SECONDS = 1.0  # at most, because a Ctrl-C just before a wait is noticed after it only


class Sent(NamedTuple):
    """The completion of a request, its share of the server's time, and the media that it was sent with."""

    completion: ServerReply
    seconds: float  # as defined in `run_time.py`
    media: list[Patches]  # without pixel values


class ServerEngine:
    """Generates responses with a server; implements `Engine`."""

    def __init__(self, arguments: ServerArguments, planner: Planner) -> None:
        """Connect to the server.

        Args:
            arguments: Address, model, and limits of requests.
            planner: Planner with the checkpoint's input rules.

        Raises:
            EngineUnavailable: The server does not answer, has no such model, or lacks the checkpoint's generation
                settings.
        """
        sampling_fields(planner.rules, GenerationSettings(), "")
        self._planner, self._concurrency = planner, arguments.concurrency
        self._connection, self._time = Connection(arguments), SharedTime()
        self._checked: dict[MediaKind, str] = {}  # whether time positions were checked

    @property
    def numerics(self) -> list[Any]:
        """Name and version of the server, and name of the model. Its address may change, and its dtype is unknown."""
        connection = self._connection
        return ["server", connection.kind, connection.version, connection.model]

    @property
    def provenance(self) -> dict[str, str]:
        """What is recorded with a run."""
        connection = self._connection
        return {
            "engine": "server",
            "server": f"{connection.kind or 'unknown'} {connection.version}".strip(),
            "model": connection.model,
            "time_positions": self._checked.get(MediaKind.CLIP, NO_CLIP),
        }

    def start(self, plans: Sequence[Plan]) -> None:
        """Check what the server makes of each kind of medium in these plans, once; see `Engine.start`."""
        kinds = {plan.media[key].kind for plan in plans for prompt in plan.prompts for key in prompt.media}
        for kind in kinds - self._checked.keys():
            self._checked[kind] = check_prompts(self._connection, self._planner, kind)

    def answers(self, plan: Plan) -> Iterator[dict[int, Answer]]:
        """Yield answers as they come; see `Engine.answers`.

        Raises:
            EngineFailed: The server is gone, fails again and again, or does not show the media of the protocol.
        """
        yield plan.failed
        self.start([plan])
        failures = 0
        try:
            for prompt, future in self._sent(plan):
                answer = self._answer(prompt, plan, future)
                yield {prompt.chat_index: answer}
                if isinstance(answer, Response):
                    failures = 0
                elif not answer.broken_medium:
                    failures += 1
                    if failures >= MOST_FAILURES:
                        raise EngineFailed(f"{failures} requests in a row failed, the last: {answer.reason}")
        except BaseException:
            self._connection.stop()
            raise

    def _sent(self, plan: Plan) -> Iterator[tuple[Planned, Future[Sent]]]:
        """Send all requests, longest prompts first; yield each with its future, once that is done."""
        most = tokens_in_host_memory(self._planner.rules.patch_rule, COPIES, MAX_MEMORY)
        lookahead = Lookahead(lambda key: self._encoded(plan, key), self._planner.threads, most // 2)
        running: dict[Future[Sent], Planned] = {}
        for (prompt,), media in lookahead.run([[one] for one in longest_first(plan.prompts)]):
            while running and (len(running) >= self._concurrency or _tokens(running) + prompt.tokens > most // 2):
                yield from _finished(running)
            running[_in_thread(partial(self._send, prompt, plan, media))] = prompt
        while running:
            yield from _finished(running)

    def _encoded(self, plan: Plan, key: str) -> EncodedMedium:
        """Decode, scale and encode a medium, in a thread; raises `BrokenMedium`."""
        return encoded_medium(
            self._planner.patches(plan.media[key]), self._planner.rules, self._connection.kind == VLLM
        )

    def _send(self, prompt: Planned, plan: Plan, media: Mapping[str, Future[EncodedMedium]]) -> Sent:
        """Send a request, in a thread; raises `BrokenMedium`, `RequestFailed` and `EngineFailed`."""
        encoded = [media[key].result() for key in prompt.media]
        if sum(one.patches.kind is MediaKind.CLIP for one in encoded) > 1:
            raise RequestFailed("engine=server shows one clip in a question; use engine=vllm or engine=transformers")
        seed = plan.seed(prompt) if plan.settings.sampling else ""
        chat, rules = plan.chats[prompt.chat_index], self._planner.rules
        request = chat_request(chat, encoded, rules, self._planner.template, seed)
        with self._time.measured() as share:  # without the wait for media
            completion = self._connection.complete(request)
        return Sent(completion, round(share.seconds, 6), [one.patches for one in encoded])

    def _answer(self, prompt: Planned, plan: Plan, future: Future[Sent]) -> Answer:
        """Return the answer of a request that is done; raises `EngineFailed`."""
        try:
            completion, seconds, media = future.result()
        except (BrokenMedium, RequestFailed) as error:
            return Failure(str(error), broken_medium=isinstance(error, BrokenMedium))
        expected = self._planner.rules.architecture.expanded(Prompt(plan.ids[prompt.chat_index], media))
        if difference := prompt_difference(completion, expected):
            return Failure(difference)
        text = completion.text
        if completion.token_ids is not None:  # decoded here, because servers split off thoughts and tool calls
            text = self._planner.rules.processor.tokenizer.decode(
                completion.token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        return Response(
            plan.openings[prompt.chat_index] + truncate_at(text, plan.settings.stop_strings),
            len(expected),
            completion.output_tokens,
            completion.finish_reason,
            seconds,
        )


def _tokens(running: Mapping[Future[Sent], Planned]) -> int:
    return sum(prompt.tokens for prompt in running.values())


def _finished(running: dict[Future[Sent], Planned]) -> Iterator[tuple[Planned, Future[Sent]]]:
    """Wait for requests, and remove and yield those that are done: first responses, as an error may end the run."""
    done, _ = wait(running, WAIT_SECONDS, FIRST_COMPLETED)
    for future in sorted(done, key=lambda one: one.exception() is not None):
        yield running.pop(future), future


def _in_thread(function: Callable[[], Result]) -> Future[Result]:
    """Run a function in a thread of its own, which does not delay the end of the process as a pool's would."""
    future = Future[Result]()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
