"""The server of the rollout engine `hf`: gathers requests, has them answered together, takes new weights.

One Ray actor a replica. Owns what verl sees of a server; answering is `answers.py`.

Of a checkpoint's generation_config the stop tokens count and nothing else, as in verl's vLLM server: sampling comes
with each request, from the recipe.
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

QUIET_SECONDS = 0.03  # requests of a step come in a stream: answer when it pauses, or when a batch is full
KNOWN = {"temperature", "top_p", "top_k", "seed", "stop_token_ids", "ignore_eos", "logprobs"}


class RequestRefused(ValueError):
    """A request this engine cannot answer as it was meant."""


@dataclass(frozen=True)
class ServerSettings:
    """What a server needs of verl's configuration."""

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
    """Answers requests with the weights it was given last."""

    def __init__(self, settings: ServerSettings) -> None:
        from transformers import AutoModelForImageTextToText
        from verl.utils import hf_processor

        self.settings = settings
        processor = hf_processor(settings.model, trust_remote_code=settings.trust_remote_code)
        if processor is None:
            raise RequestRefused(f"{settings.model} has no processor of pictures; the engine hf is for Qwen-VL models")
        self.model = AutoModelForImageTextToText.from_pretrained(
            settings.model,
            dtype=getattr(torch, settings.dtype),
            attn_implementation=settings.attn_implementation,
            trust_remote_code=settings.trust_remote_code,
        ).eval()
        self.stops = stop_ids(self.model, processor.tokenizer)
        never = never_sampled(self.model.config, len(processor.tokenizer))
        self.answerer = RolloutGenerator(self.model, RequestInputs(processor), never, settings.max_num_batched_tokens)
        self.step: int | None = None
        self._asked: Counter[str] = Counter()
        self._waiting: asyncio.Queue[tuple[RolloutRequest, asyncio.Future[SampledResponse]]] = asyncio.Queue()
        self._busy = asyncio.Lock()
        self._answering: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Return once the model is loaded."""

    async def update_weights(self, weights: Mapping[str, torch.Tensor], global_steps: int | None) -> None:
        """Take the trainer's weights, after the requests under way."""
        async with self._busy:
            load_weights(self.model, weights)
            self.step = global_steps
            self._asked.clear()

    async def generate(
        self,
        prompt_ids: Sequence[int],
        sampling_params: Mapping[str, Any],
        request_id: str,
        image_data: Sequence[Any] | None = None,
        video_data: Sequence[Any] | None = None,
    ) -> TokenOutput:
        """Answer one request; the names are verl's.

        Raises:
            RequestRefused: it does not fit into the model's length, or asks for a sampling this engine does not know.
        """
        request = RolloutRequest(tuple(prompt_ids), self._settings(prompt_ids, sampling_params), image_data, video_data)
        if "seed" not in sampling_params:
            request = self._with_seed(request)
        if self._answering is None or self._answering.done():
            self._answering = asyncio.create_task(self._answer_for_ever())
        answer: asyncio.Future[SampledResponse] = asyncio.get_running_loop().create_future()
        await self._waiting.put((request, answer))
        response = await answer
        return TokenOutput(
            token_ids=response.ids,
            log_probs=response.log_probs,
            stop_reason="completed",
            extra_fields={"global_steps": self.step},
        )

    def _settings(self, prompt_ids: Sequence[int], params: Mapping[str, Any]) -> ResponseSettings:
        """verl's sampling parameters as ours."""
        asked = dict(params)
        limit = asked.pop("max_tokens", None) or asked.pop("max_new_tokens", None) or self.settings.response_length
        if len(prompt_ids) + limit > self.settings.max_model_len:
            raise RequestRefused(
                f"a prompt of {len(prompt_ids)} tokens and a response of up to {limit} do not fit into max_model_len="
                f"{self.settings.max_model_len}; raise it, or lower data.max_response_length or the pixels of the media"
            )
        if asked.pop("repetition_penalty", 1.0) != 1.0 or set(asked) - KNOWN:
            raise RequestRefused(f"the rollout engine hf knows {', '.join(sorted(KNOWN))}, no penalties; got {params}")
        stops = frozenset(asked.get("stop_token_ids") or ())
        sampling = Sampling(
            temperature=float(asked.get("temperature", 1.0)),
            top_p=float(asked.get("top_p", 1.0)),
            top_k=max(0, int(asked.get("top_k", 0))),  # verl says -1 for all
            seed=int(asked.get("seed", 0)),
        )
        return ResponseSettings(int(limit), sampling, stops if asked.get("ignore_eos") else stops | self.stops)

    def _with_seed(self, request: RolloutRequest) -> RolloutRequest:
        """The n-th request about a prompt in a step has the n-th seed: who asks is not known, but all ask the same."""
        from dataclasses import replace

        name = request.name()
        self._asked[name] += 1
        text = f"{self.settings.seed} {self.step} {name} {self._asked[name]}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])
        sampling = request.settings.sampling._replace(seed=seed)
        return replace(request, settings=request.settings._replace(sampling=sampling))

    async def _answer_for_ever(self) -> None:
        while True:
            waiting = await self._gathered()
            async with self._busy:
                answers = await asyncio.to_thread(self.answerer.answer, [request for request, _ in waiting])
            for (_, future), answer in zip(waiting, answers, strict=True):
                if future.cancelled():
                    continue
                if isinstance(answer, Unanswered):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)

    async def _gathered(self) -> list[tuple[RolloutRequest, asyncio.Future[SampledResponse]]]:
        """Requests as they come, until there is a pause or the batch is full."""
        waiting = [await self._waiting.get()]
        while len(waiting) < self.settings.max_num_seqs:
            try:
                waiting.append(await asyncio.wait_for(self._waiting.get(), QUIET_SECONDS))
            except TimeoutError:
                break
        return waiting


def stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end a response: the tokenizer's, and those of the checkpoint's generation_config."""
    configured = model.generation_config.eos_token_id
    configured = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in (*configured, tokenizer.eos_token_id) if token is not None)


def never_sampled(config: Any, known: int) -> torch.Tensor:
    """Mask over the vocabulary: marks of media, and ids beyond those the tokenizer knows."""
    never = torch.arange(config.get_text_config().vocab_size) >= known
    never[[config.image_token_id, config.video_token_id]] = True
    return never


def load_weights(model: Any, weights: Mapping[str, torch.Tensor]) -> None:
    """Put weights into a model, all of them.

    Raises:
        ValueError: a name is unknown, or a parameter gets no weight; tied ones need one weight among them.
    """
    own = model.state_dict()
    unknown = sorted(set(weights) - set(own))
    given = {own[name].data_ptr() for name in weights if name in own}
    missing = [name for name, value in own.items() if name not in weights and value.data_ptr() not in given]
    if unknown or missing:
        raise ValueError(f"weights of another model: unknown {unknown[:5]}, missing {missing[:5]}")
    model.load_state_dict(weights, strict=False)
