"""Answer chats with vLLM in this process: continuous batching, with the inputs that transformers would be given.

Media are decoded in threads. vLLM gets a request as soon as its media are ready, so new requests join a batch while
others are still generating. A request keeps its pixel values in memory, as floats, so the number of tokens in the
engine is limited.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from lmms_eval_shotbench.models.batching import Lookahead, Planned, longest_first
from lmms_eval_shotbench.models.chats import GenerationSettings
from lmms_eval_shotbench.models.engine import truncate_at
from lmms_eval_shotbench.models.host_memory import tokens_in_host_memory
from lmms_eval_shotbench.models.planning import Plan, Planner
from lmms_eval_shotbench.models.vllm_inputs import engine_input, processed_item
from lmms_eval_shotbench.models.vllm_sampling import sampling_parameters
from lmms_eval_shotbench.models.vllm_start import Limits, VllmArguments, engine_death_reported, start_vllm
from lmms_eval_shotbench.qwen.inputs import Patches, Prompt
from lmms_eval_shotbench.runs.response_store import Answer, Failure, Response
from lmms_eval_shotbench.runs.run_time import SharedTime

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput, SamplingParams
    from vllm.multimodal.inputs import MultiModalKwargsItem

MAX_MEMORY = 32 * 2**30  # bytes, for pixel values of requests that are prepared, wait or run


class PreparedMedium(NamedTuple):
    """A medium without pixel values, and as vLLM takes it."""

    patches: Patches
    item: MultiModalKwargsItem


PreparedMedia = Mapping[str, "Future[PreparedMedium]"]  # by key of the medium


class VllmEngine:
    """Generates responses with vLLM; implements `Engine`.

    Attributes:
        llm: vLLM, once it is started.
    """

    def __init__(self, arguments: VllmArguments, planner: Planner) -> None:
        """Check that vLLM and its arguments can be used.

        Args:
            arguments: Checkpoint and arguments of vLLM.
            planner: Planner with the checkpoint's input rules.

        Raises:
            EngineUnavailable: vLLM cannot be imported or has no such argument, or the checkpoint's generation settings
                have no counterpart in vLLM.
        """
        arguments.check()
        sampling_parameters(planner.rules, GenerationSettings(), "")
        self._arguments, self._planner = arguments, planner
        self.llm: LLM | None = None

    @property
    def numerics(self) -> list[Any]:
        """Versions, dtype, and arguments of vLLM."""
        return self._arguments.numerics()

    @property
    def provenance(self) -> dict[str, str]:
        """Name of the engine; time positions are checked when it starts."""
        return {"engine": "vllm", "time_positions": "checked"}

    def start(self, plans: Sequence[Plan]) -> None:
        """Start vLLM for the longest prompt of these plans, unless it is started; see `Engine.start`."""
        if self.llm is None and any(plan.prompts for plan in plans):
            self.llm = start_vllm(self._arguments, self._planner.rules, Limits.of(plans))

    def answers(self, plan: Plan) -> Iterator[dict[int, Answer]]:
        """Yield answers as they come; see `Engine.answers`.

        Raises:
            EngineFailed: vLLM did not start, ended, or does not get the inputs of the protocol.
        """
        yield plan.failed
        if not plan.prompts:
            return
        self.start([plan])
        assert self.llm is not None
        most = tokens_in_host_memory(self._planner.rules.patch_rule, self._arguments.dtype.itemsize, MAX_MEMORY)
        prepared = Lookahead(lambda key: self._prepared(plan, key), self._planner.threads, most // 2)
        upcoming = prepared.run([[prompt] for prompt in longest_first(plan.prompts)])
        running: dict[str, Planned] = {}
        time, marks = SharedTime(), dict[str, float]()
        following = next(upcoming, None)
        while following or running:
            while following and _may_add(*following, running, most // 2):
                (prompt,), media = following
                if failure := self._add(prompt, plan, media):
                    yield {prompt.chat_index: failure}
                else:
                    running[str(prompt.chat_index)] = prompt
                    marks[str(prompt.chat_index)] = time.start()
                following = next(upcoming, None)
            if running and (finished := self._step()):
                answers = {running.pop(one.request_id).chat_index: self._response(one, plan) for one in finished}
                yield {
                    index: response._replace(seconds=round(time.end(marks.pop(str(index))), 6))
                    for index, response in answers.items()
                }

    def _prepared(self, plan: Plan, key: str) -> PreparedMedium:
        """Decode a medium, in a thread; raises `BrokenMedium`."""
        patches = self._planner.patches(plan.media[key])
        item = processed_item(patches, self._planner.rules, self._arguments.dtype)
        return PreparedMedium(patches._replace(values=torch.empty(0)), item)

    def _add(self, prompt: Planned, plan: Plan, media: PreparedMedia) -> Failure | None:
        """Give vLLM a request, once its media are ready; returns why it cannot be answered. Raises `EngineFailed`."""
        ready = [media[key] for key in prompt.media]
        if reasons := [str(error) for one in ready if (error := one.exception()) is not None]:
            return Failure(reasons[0])
        patches, items = [one.result().patches for one in ready], [one.result().item for one in ready]
        keys = [f"{key} {self._planner.limits}" for key in prompt.media]
        rules = self._planner.rules
        given = engine_input(Prompt(plan.ids[prompt.chat_index], patches), keys, items, rules)
        sampling = self._sampling(prompt, plan)
        assert self.llm is not None
        try:
            with engine_death_reported():
                self.llm.llm_engine.add_request(str(prompt.chat_index), given, sampling)
        except ValueError as error:  # longer than the model's context or than the cache of the vision tower
            return Failure(f"vLLM refuses the prompt: {error}")
        return None

    def _step(self) -> list[RequestOutput]:
        """Let vLLM compute a step for all requests; returns those that are finished. Raises `EngineFailed`."""
        assert self.llm is not None
        with engine_death_reported():
            return [output for output in self.llm.llm_engine.step() if output.finished]

    def _sampling(self, prompt: Planned, plan: Plan) -> SamplingParams:
        seed = plan.seed(prompt) if plan.settings.sampling else ""
        return sampling_parameters(self._planner.rules, plan.settings, seed)

    def _response(self, output: RequestOutput, plan: Plan) -> Response:
        (generated,) = output.outputs
        text = self._planner.rules.processor.tokenizer.decode(
            generated.token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return Response(
            plan.openings[int(output.request_id)] + truncate_at(text, plan.settings.stop_strings),
            len(output.prompt_token_ids),
            len(generated.token_ids),
            generated.finish_reason,
        )


def _may_add(batch: list[Planned], media: PreparedMedia, running: Mapping[str, Planned], most: int) -> bool:
    """Whether a request is added now; the first one is, although its media may have to be waited for."""
    tokens = sum(prompt.tokens for prompt in (*batch, *running.values()))
    return not running or (tokens <= most and all(future.done() for future in media.values()))
