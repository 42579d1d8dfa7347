"""`--model shotvl`: ShotVL, Qwen2.5-VL, Qwen3-VL and Qwen3.5 under ShotBench's protocol, in batches.

Stills have the processor's own size, clips 12 frames a second of at most 360x640 pixels, the system text is the task's,
decoding is greedy. This is the adapter to lmms-eval; `qwen/inputs.py` prepares the model's inputs, `planning.py` orders
the prompts, and an engine generates the answers: transformers, vLLM, or a server.
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import Any

from lmms_eval.api.instance import GenerationResult, Instance
from lmms_eval.api.model import lmms
from loguru import logger  # the logger of lmms-eval

from lmms_eval_shotbench.environment import responses_in_use
from lmms_eval_shotbench.harness.token_counts import result_of_answer
from lmms_eval_shotbench.media.clips import CLIP_FPS, CLIP_MAX_PIXELS
from lmms_eval_shotbench.media.stored_medium import media_undecoded
from lmms_eval_shotbench.models.chats import Chat, GenerationSettings, read_chat
from lmms_eval_shotbench.models.engines import EngineSettings, open_engine
from lmms_eval_shotbench.models.planning import Planner
from lmms_eval_shotbench.models.progress import Progress
from lmms_eval_shotbench.models.shotvl_settings import PRETRAINED, media_limits, rank_device, spare_cores
from lmms_eval_shotbench.qwen.input_rules import InputRules
from lmms_eval_shotbench.runs.response_store import Answer, Response, ResponseStore, response_key


class ShotVL(lmms):  # type: ignore[misc]
    """A Qwen-VL checkpoint, local or on the Hub, one copy on each rank."""

    is_simple = False
    keeps_own_responses = True
    protocol_built_in = True  # separate settings for stills and clips, so `shotbench eval` needs one pass

    def __init__(
        self,
        pretrained: str = PRETRAINED,
        revision: str | None = None,
        device: str | None = None,
        dtype: str = "auto",
        attn_implementation: str | None = None,
        device_map: str | None = None,
        fps: float = CLIP_FPS,
        video_max_pixels: int = CLIP_MAX_PIXELS,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        blank: bool = False,
        enable_thinking: bool | None = None,
        batch_tokens: int | None = None,
        workers: int | None = None,
        responses: str | None = None,
        engine: str = "auto",
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        **engine_arguments: Any,
    ) -> None:
        """Load the checkpoint and check the positions of its clips.

        Args:
            pretrained: folder or Hub id of a checkpoint, see `qwen/architectures.py`.
            revision: revision of the Hub repository.
            device: torch device (default: a GPU per rank if available, else the CPU).
            dtype: torch dtype (default: bfloat16 on a GPU, float32 on a CPU).
            attn_implementation: default flash_attention_2 if installed, else sdpa.
            device_map: `auto` distributes a model that does not fit on one GPU over all GPUs; requires a single rank.
            fps: frames per second sampled from a clip.
            video_max_pixels: maximum pixels per frame of a clip.
            min_pixels: minimum pixels of a still (default: the processor's limit).
            max_pixels: maximum pixels of a still (default: the processor's limit).
            blank: replace media by plain grey of the same size and length, to measure scores without visual input.
            enable_thinking: argument of the chat templates that have it, as Qwen3.5's (default: the template's own).
            batch_tokens: maximum of rows x (longest prompt + new tokens) per batch (default: from free memory).
            workers: threads that decode and preprocess media ahead of the model.
            responses: folder for responses stored during the run; a run with the same settings reuses them.
            batch_size: ignored, because batches are formed by tokens; lmms-eval always passes one.
            engine: `transformers`, `vllm`, `server`, or `auto`: vLLM if it is installed and there is a GPU, unless an
                argument or several ranks ask for transformers.
            max_batch_size: ignored.
            engine_arguments: further arguments of the engine, such as vLLM's tensor_parallel_size, or base_url, model,
                concurrency and timeout of a server.

        Raises:
            EngineUnavailable: the engine cannot be used here, or not with these arguments.
            UnsupportedCheckpoint: `shotvl` cannot run the checkpoint.
        """
        super().__init__()
        self.device = rank_device(device)
        self._rank, self._world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        template = {} if enable_thinking is None else {"enable_thinking": bool(enable_thinking)}

        def planner(rules: InputRules) -> Planner:
            limits = media_limits(rules, fps, video_max_pixels, min_pixels, max_pixels)._replace(blank=bool(blank))
            return Planner(rules, limits, int(workers or spare_cores()), template)

        settings = EngineSettings(
            pretrained,
            revision,
            self.device,
            dtype,
            {"attn_implementation": attn_implementation, "device_map": device_map, "batch_tokens": batch_tokens},
            engine_arguments,
        )
        self._engine, self._planner = open_engine(engine, settings, planner)
        self._store = ResponseStore(responses_in_use(responses), self._rank)

    @property
    def provenance(self) -> dict[str, str]:
        """What a record of the run contains of the engine."""
        return self._engine.provenance

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """Answer chat requests, each distinct one once, and only those without a stored response."""
        chats = [self._chat(request) for request in requests]
        keys = [self._key(chat) for chat in chats]
        distinct = dict(zip(keys, chats, strict=True))
        answers: dict[str, Answer] = {key: kept for key in distinct if (kept := self._store.get(key))}
        pending = {key: chat for key, chat in distinct.items() if key not in answers}
        if answers:
            logger.info(f"{len(answers)} of {len(distinct)} responses are stored from an earlier run")
        answers |= self._ask(pending, len(distinct))
        first_of = {key: number for number, key in reversed(list(enumerate(keys)))}
        return [result_of_answer(answers[key], repeated=first_of[key] != number) for number, key in enumerate(keys)]

    def _chat(self, request: Instance) -> Chat:
        _context, doc_to_messages, generation, doc_id, task, split = request.args
        with media_undecoded():
            messages = doc_to_messages(self.task_dict[task][split][doc_id])
        return read_chat(messages, generation)

    def _key(self, chat: Chat) -> str:
        """Key of everything that determines a response: chat, weights, media limits, and numerics."""
        return response_key(
            chat.settings()
            | {
                "revision": self._planner.rules.revision,
                "shown": self._planner.limits._asdict(),
                "computed": self._engine.numerics,
            }
            | self._planner.template
        )

    def _ask(self, chats: dict[str, Chat], distinct: int) -> dict[str, Answer]:
        """Answer chats, grouped by generation settings; return answers by key."""
        groups: dict[GenerationSettings, list[str]] = defaultdict(list)
        for key, chat in chats.items():
            groups[chat.generation].append(key)
        plans = [(keys, self._planner.plan([chats[key] for key in keys])) for keys in groups.values()]
        weights = {keys[one.chat_index]: one.tokens for keys, plan in plans for one in plan.prompts}
        self._engine.start([plan for _keys, plan in plans])
        answers: dict[str, Answer] = {}
        name = f"shotvl, rank 0 of {self.world_size}" if self.world_size > 1 else "shotvl"
        with Progress(name, weights, distinct - len(chats), distinct, shown=self.rank == 0) as progress:
            for keys, plan in plans:
                for batch in self._engine.answers(plan):
                    found = {keys[index]: answer for index, answer in batch.items()}
                    found |= self._store.keep({key: one for key, one in found.items() if isinstance(one, Response)})
                    answers |= found
                    progress.add(found)
        return answers

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not supported: ShotBench is answered by generation."""
        raise NotImplementedError("shotvl generates; for likelihoods use lm-eval on the text variant")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Not supported: ShotBench has one round."""
        raise NotImplementedError("shotvl answers one round only")
