"""verl's agent loop with media decoded, processed and sent once per prompt instead of once per response.

    actor_rollout_ref.rollout.agent.agent_loop_manager_class=verl_recipes.inside_verl.sharing_agent_loop.SharingManager

verl 0.9.1 does the following for each of the n responses to a prompt: `SingleTurnAgentLoop.run` decodes the media and
processes them to count their tokens; `AgentLoopWorker._compute_score` and `AgentLoopWorkerTQ._agent_loop_postprocess`
process them again, each by `_compute_multi_modal_inputs`; `LLMServerClient.generate` sends the decoded media to the
server; and `AgentLoopWorkerTQ._agent_loop_postprocess` puts the pixel values into TransferQueue, those of clips twice,
as `multi_modal_inputs` and as `mm_processor_output`.

Here the responses share one result of each (`prompt_media.py`), and servers and TransferQueue get references
(`media_references.py`). Validation puts no pixel values into the queue, as nothing is trained on its responses. The
manager and the worker are verl's extension points. Two functions are replaced: the methods of `AgentLoopBase` that
decode and render a prompt, in the worker's process, and `transfer_queue.kv_clear` in the trainer's process, which
releases the references of the removed rows.

Not shared: media that a tool returns while a response is generated, and audio. SGLang is sent the processed clips once
per response. In verl's asynchronous modes and with `skip.rollout_tq`, rows may be saved and read by another run, so
they contain the pixel values themselves.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ray
import torch
import transfer_queue
from verl.experimental.agent_loop.agent_loop import AgentLoopBase
from verl.trainer.ppo.v1 import agent_loop_tq

from verl_recipes.inside_verl import prompt_media
from verl_recipes.inside_verl.media_references import PromptInputs, ReferencingClient, StoredInputs, put
from verl_recipes.inside_verl.prompt_media import DecodedMediaCache, Media, ProcessorOutputs, PromptMedia

CACHE_KEY = "decoded_media_cache_mb"  # in the section `data`
NO_MODEL_INPUTS = ("input_ids", "attention_mask")  # of the processor's outputs, which verl removes
TOKEN_TYPES = "mm_token_type_ids"  # verl only checks that it is present, and removes it before the queue
# verl's worker is already a Ray actor class; this is the Python class that it was made from.
AgentLoopWorkerTQ: Any = agent_loop_tq.AgentLoopWorkerTQ.__ray_metadata__.modified_class.__ray_actor_class__


class SharingWorker(AgentLoopWorkerTQ):  # type: ignore[misc]  # verl has no types
    """verl's agent loop worker, whose responses share the media of their prompt."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        share_in_agent_loops()
        self._prepare(str(ray.get_runtime_context().get_actor_name()))

    def _prepare(self, name: str) -> None:
        """Set what this class adds to verl's worker.

        Args:
            name: Name of this Ray actor, by which other processes find it.
        """
        self.llm_client: Any = ReferencingClient(self.llm_client)
        self._name = name
        self._cache = DecodedMediaCache(int(self.config.data.get(CACHE_KEY, 0)) * 10**6)
        self._stored = StoredInputs()

    async def _run_prompt(self, prompt: dict[str, Any], *args: Any, trajectory: dict[str, Any], **kwargs: Any) -> None:
        """Generate all responses to a prompt; verl runs this in a task of its own."""
        shared = PromptMedia(prompt["uid"], self._cache, validation=trajectory["validate"])
        prompt_media.begin(shared)
        try:
            await super()._run_prompt(prompt, *args, trajectory=trajectory, **kwargs)
        finally:
            shared.close()
            self._stored.end(shared.uid)

    async def _agent_loop_postprocess(self, output: Any, validate: bool, **kwargs: Any) -> None:
        """Write the responses of one agent loop to TransferQueue."""
        outputs = output if isinstance(output, list) else [output]
        if not self.distillation_enabled:  # only SGLang and a teacher need it
            for each in outputs:
                each.mm_processor_output = None
        for each in outputs:
            await self._store_inputs(each)
        await super()._agent_loop_postprocess(output, validate, **kwargs)
        uid, session = kwargs["uid"], kwargs["session_id"]
        self._stored.written(uid, [f"{uid}_{session}_{number}" for number in range(len(outputs))])

    async def _store_inputs(self, output: Any) -> None:
        """Write the model inputs of the prompt's media to the object store if its rows are to refer to them."""
        shared, features = self._shared(output)
        if shared is None or shared.validation or features is None or not references_allowed(self.config):
            return
        inputs = model_inputs(features)
        inputs.pop(TOKEN_TYPES, None)

        async def store() -> None:
            self._stored.add(shared.uid, await put(inputs))

        if inputs:
            await shared.once("stored inputs", store)

    def _compute_multi_modal_inputs(self, output: Any, input_ids: torch.Tensor) -> Any:
        """Model inputs of the media, from the shared outputs of the processor; verl defines the name."""
        shared, features = self._shared(output)
        if shared is None or features is None:
            return super()._compute_multi_modal_inputs(output, input_ids)
        inputs = model_inputs(features)
        if shared.uid in self._stored or shared.validation:
            return PromptInputs(self._name, shared.uid, inputs)
        return inputs

    @staticmethod
    def _shared(output: Any) -> tuple[PromptMedia | None, ProcessorOutputs | None]:
        """The prompt's media, and what the processor returned for them if the response has no others."""
        shared, media = prompt_media.current(), output.multi_modal_data or {}
        if shared is None or media.get("audios"):
            return None, None
        return shared, shared.features(media.get("images"), media.get("videos"))

    async def stored_inputs(self, uid: str) -> list[Any]:
        """The `ObjectRef` of a prompt's model inputs, in a list, as Ray would otherwise return the object."""
        return [self._stored.reference(uid)]

    async def release(self, rows: Sequence[str]) -> None:
        """Free what only rows removed from TransferQueue refer to."""
        self._stored.release(rows)


class SharingManager(agent_loop_tq.AgentLoopManagerTQ):  # type: ignore[misc]
    """verl's agent loop manager with `SharingWorker` as its worker."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = ray.remote(SharingWorker)

    async def _init_agent_loop_workers(self) -> None:
        await super()._init_agent_loop_workers()
        after_clearing(self._release)

    def _release(self, rows: list[str]) -> None:
        for worker in self.agent_loop_workers:
            worker.release.remote(rows)


def references_allowed(config: Any) -> bool:
    """Whether rows of TransferQueue are read only by the run that wrote them."""
    return config.trainer.v1.trainer_mode == "sync" and not config.skip.rollout_tq.enable


def model_inputs(features: ProcessorOutputs) -> dict[str, Any]:
    """What verl's `_compute_multi_modal_inputs` returns, from the outputs of the processor."""
    inputs = {name: value for name, value in features.items() if name not in NO_MODEL_INPUTS}
    if (grids := inputs.get("image_grid_thw")) is not None:
        inputs["images_seqlens"] = torch.repeat_interleave(grids[:, 1] * grids[:, 2], grids[:, 0])
    return inputs


def share_in_agent_loops(base: Any = AgentLoopBase) -> None:
    """Replace the methods of verl's agent loops that decode and render a prompt by ones that share their results.

    Outside of a prompt of `SharingWorker` they are unchanged. Calling this again has no effect.
    """
    decode, render = base.process_multi_modal_info, base.ct_build_initial_tokens
    if hasattr(decode, "__wrapped__"):
        return

    @functools.wraps(decode)
    async def process_multi_modal_info(loop: Any, messages: list[dict[str, Any]]) -> Media:
        shared = prompt_media.current()
        return await (shared.media(messages, lambda: decode(loop, messages)) if shared else decode(loop, messages))

    @functools.wraps(render)
    async def ct_build_initial_tokens(
        loop: Any,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None = None,
        images: list[Any] | None = None,
        videos: list[Any] | None = None,
        audios: list[Any] | None = None,
        mm_inputs_out: ProcessorOutputs | None = None,
    ) -> list[int]:
        async def rendered() -> tuple[list[int], ProcessorOutputs]:
            features: ProcessorOutputs = {}
            ids = await render(loop, messages, tools, images, videos, audios, mm_inputs_out=features)
            return ids, features

        shared = prompt_media.current()
        media = [*(images or ()), *(videos or ())]
        if shared is None or audios or not shared.shares(media):
            ids, features = await rendered()
        else:
            name = ("rendered", pickle.dumps((messages, tools)), *map(id, media))
            ids, features = await shared.once(name, rendered)
            shared.keep_features(images, videos, features)
        if mm_inputs_out is not None:
            mm_inputs_out.update(features)
        return list(ids)

    base.process_multi_modal_info, base.ct_build_initial_tokens = process_multi_modal_info, ct_build_initial_tokens


def after_clearing(release: Callable[[list[str]], None]) -> None:
    """Call `release` with the keys of rows that verl's trainer has removed from TransferQueue."""
    clear = transfer_queue.kv_clear

    @functools.wraps(clear)
    def kv_clear(keys: Iterable[str] | str, partition_id: str) -> None:
        removed = [keys] if isinstance(keys, str) else list(keys)
        clear(keys=removed, partition_id=partition_id)
        release(removed)

    transfer_queue.kv_clear = kv_clear
