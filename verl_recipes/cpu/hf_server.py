"""The server of the rollout engine `hf`: queues requests, returns responses, receives new weights.

It is one Ray actor per replica and implements the interface that verl calls; `answers.py` generates the responses of a
batch.

Only the stop tokens of the checkpoint's generation_config are used, as in verl's vLLM server. The sampling parameters
come from the recipe, with each request.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from verl.workers.rollout.replica import TokenOutput

from lmms_eval_shotbench.qwen.decoding import Sampling
from verl_recipes.cpu.answers import RolloutGenerator, RolloutRequest, Unanswered
from verl_recipes.cpu.generation import ResponseSettings, SampledResponse
from verl_recipes.cpu.request_inputs import RequestInputs

QUIET_SECONDS = 0.03  # a batch is closed if no request arrives for this long, or if it is full
SUPPORTED = {"temperature", "top_p", "top_k", "seed", "stop_token_ids", "ignore_eos", "logprobs"}


class RequestRefused(ValueError):
    """A request has sampling parameters or a length that this engine does not support."""


@dataclass(frozen=True)
class ServerSettings:
    """Settings of a server, named as in verl's rollout configuration; lengths are in tokens."""

    model: str
    seed: int
    dtype: str
    attn_implementation: str
    trust_remote_code: bool
    response_length: int
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int


class HFServer:
    """The Ray actor that generates responses with the latest weights."""

    def __init__(self, settings: ServerSettings) -> None:
        from transformers import AutoModelForImageTextToText
        from verl.utils import hf_processor

        self.settings = settings
        processor = hf_processor(settings.model, trust_remote_code=settings.trust_remote_code)
        if processor is None:
            raise RequestRefused(f"{settings.model} has no image processor; the engine hf is for Qwen-VL models")
        self.model = AutoModelForImageTextToText.from_pretrained(
            settings.model,
            dtype=getattr(torch, settings.dtype),
            attn_implementation=settings.attn_implementation,
            trust_remote_code=settings.trust_remote_code,
        ).eval()
        self.stops = stop_ids(self.model, processor.tokenizer)
        suppressed = suppressed_tokens(self.model.config, len(processor.tokenizer))
        self.generator = RolloutGenerator(
            self.model, RequestInputs(processor), suppressed, settings.max_num_batched_tokens
        )
        self.step: int | None = None
        self._request_counts: Counter[str] = Counter()
        self._queue: asyncio.Queue[tuple[RolloutRequest, asyncio.Future[SampledResponse]]] = asyncio.Queue()
        self._model_lock = asyncio.Lock()
        self._loop_task: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Return once the model is loaded."""

    async def update_weights(self, weights: Mapping[str, torch.Tensor], global_steps: int | None) -> None:
        """Load new weights once the batch in progress is finished; `global_steps` is their training step."""
        async with self._model_lock:
            load_weights(self.model, weights)
            self.step = global_steps
            self._request_counts.clear()

    async def generate(
        self,
        prompt_ids: Sequence[int],
        sampling_params: Mapping[str, Any],
        request_id: str,
        image_data: Sequence[Any] | None = None,
        video_data: Sequence[Any] | None = None,
    ) -> TokenOutput:
        """Return the response to one request; verl defines the parameter names.

        Args:
            prompt_ids: Tokens of the prompt, with one placeholder per media token.
            sampling_params: verl's sampling parameters; without a `seed`, one is derived from the server's seed.
            request_id: Unused.
            image_data: PIL images.
            video_data: Pairs of frames, uint8 (frames, 3, height, width), and metadata.

        Raises:
            RequestRefused: The request exceeds the maximum model length, or has unsupported sampling parameters.
            Unanswered: Preparing the prompt or generating the response failed.
        """
        request = RolloutRequest(tuple(prompt_ids), self._settings(prompt_ids, sampling_params), image_data, video_data)
        if "seed" not in sampling_params:
            request = self._with_seed(request)
        if self._loop_task is None or self._loop_task.done():
            self._loop_task = asyncio.create_task(self._answer_loop())
        answer: asyncio.Future[SampledResponse] = asyncio.get_running_loop().create_future()
        await self._queue.put((request, answer))
        response = await answer
        return TokenOutput(
            token_ids=response.ids,
            log_probs=response.log_probs,
            stop_reason="completed",
            extra_fields={"global_steps": self.step},
        )

    def _settings(self, prompt_ids: Sequence[int], params: Mapping[str, Any]) -> ResponseSettings:
        """Convert and check verl's sampling parameters."""
        remaining = dict(params)
        limit = (
            remaining.pop("max_tokens", None) or remaining.pop("max_new_tokens", None) or self.settings.response_length
        )
        if len(prompt_ids) + limit > self.settings.max_model_len:
            raise RequestRefused(
                f"a prompt of {len(prompt_ids)} tokens and a response of up to {limit} do not fit into max_model_len="
                f"{self.settings.max_model_len}; raise it, or lower data.max_response_length or the pixels of the media"
            )
        if remaining.pop("repetition_penalty", 1.0) != 1.0 or set(remaining) - SUPPORTED:
            raise RequestRefused(
                f"the rollout engine hf supports {', '.join(sorted(SUPPORTED))}, no penalties; got {params}"
            )
        stops = frozenset(remaining.get("stop_token_ids") or ())
        sampling = Sampling(
            temperature=float(remaining.get("temperature", 1.0)),
            top_p=float(remaining.get("top_p", 1.0)),
            top_k=max(0, int(remaining.get("top_k", 0))),  # verl uses -1 for all
            seed=int(remaining.get("seed", 0)),
        )
        return ResponseSettings(int(limit), sampling, stops if remaining.get("ignore_eos") else stops | self.stops)

    def _with_seed(self, request: RolloutRequest) -> RolloutRequest:
        """Derive the seed of the n-th request for a prompt in a step from n; equal requests are interchangeable."""
        from dataclasses import replace

        name = request.name()
        self._request_counts[name] += 1
        text = f"{self.settings.seed} {self.step} {name} {self._request_counts[name]}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])
        sampling = request.settings.sampling._replace(seed=seed)
        return replace(request, settings=request.settings._replace(sampling=sampling))

    async def _answer_loop(self) -> None:
        while True:
            batch = await self._next_batch()
            async with self._model_lock:
                answers = await asyncio.to_thread(self.generator.answer, [request for request, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                if future.cancelled():
                    continue
                if isinstance(answer, Unanswered):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)

    async def _next_batch(self) -> list[tuple[RolloutRequest, asyncio.Future[SampledResponse]]]:
        """Collect requests until none arrives for `QUIET_SECONDS` or the batch is full."""
        batch = [await self._queue.get()]
        while len(batch) < self.settings.max_num_seqs:
            try:
                batch.append(await asyncio.wait_for(self._queue.get(), QUIET_SECONDS))
            except TimeoutError:
                break
        return batch


def stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that end a response: those of the tokenizer and of the checkpoint's generation_config."""
    configured = model.generation_config.eos_token_id
    configured = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in (*configured, tokenizer.eos_token_id) if token is not None)


def suppressed_tokens(config: Any, known: int) -> torch.Tensor:
    """Mask of ids that are never sampled: media placeholders, and ids that the tokenizer does not know.

    Args:
        config: transformers' configuration of the model.
        known: Number of tokens of the tokenizer.

    Returns:
        bool (vocabulary,), True for ids that are never sampled.
    """
    suppressed = torch.arange(config.get_text_config().vocab_size) >= known
    suppressed[[config.image_token_id, config.video_token_id]] = True
    return suppressed


def load_weights(model: Any, weights: Mapping[str, torch.Tensor]) -> None:
    """Load a complete set of weights, each of the shape of its parameter, into a model.

    Raises:
        ValueError: A name is unknown, or a parameter has no weight; for tied parameters one weight is enough.
    """
    own = model.state_dict()
    unknown = sorted(set(weights) - set(own))
    given = {own[name].data_ptr() for name in weights if name in own}
    missing = [name for name, value in own.items() if name not in weights and value.data_ptr() not in given]
    if unknown or missing:
        raise ValueError(f"weights of another model: unknown {unknown[:5]}, missing {missing[:5]}")
    model.load_state_dict(weights, strict=False)
