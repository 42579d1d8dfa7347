"""`--model shotvl`: Qwen2.5-VL and ShotVL under ShotBench's protocol, right by construction and in batches.

Stills have the processor's own size, clips 12 frames a second of at most 360x640 pixels, the system text is the task's,
decoding is greedy. This file is the edge to lmms-eval; what the model is shown is in `qwen/inputs.py`, which prompts go
together in `batching.py`, how they are answered in `answering.py`.
"""

from __future__ import annotations

import os
from collections import defaultdict

import torch
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from loguru import logger  # lmms-eval's

from lmms_eval_shotbench.environment import responses_in_use
from lmms_eval_shotbench.grading.strict import REQUEST_FAILED
from lmms_eval_shotbench.media.clips import CLIP_FPS, CLIP_MAX_PIXELS
from lmms_eval_shotbench.media.stored_medium import media_undecoded
from lmms_eval_shotbench.models.answering import Answer, Failure, ResponseGenerator
from lmms_eval_shotbench.models.chats import Chat, HowToAnswer, read_chat
from lmms_eval_shotbench.models.progress import Progress
from lmms_eval_shotbench.models.response_store import Response, ResponseStore, response_key
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint, load_checkpoint, transformers_version
from lmms_eval_shotbench.qwen.inputs import Shown

CPU_BATCH_TOKENS = 32_768
MOST_BATCH_TOKENS = 131_072  # beyond it a GPU is no busier


class ShotVL(lmms):  # type: ignore[misc]
    """A Qwen2.5-VL checkpoint, local or on the Hub, one copy on each rank."""

    is_simple = False
    protocol_built_in = True  # stills and clips have settings of their own, so `shotbench eval` needs one pass

    def __init__(
        self,
        pretrained: str = "Vchitect/ShotVL-3B",
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
        batch_tokens: int | None = None,
        workers: int | None = None,
        responses: str | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        """Load the checkpoint and check what its clips would look like to it.

        Args:
            pretrained: folder or Hub id of a Qwen2.5-VL checkpoint.
            revision: of the Hub's repository.
            device: as torch names it; the first GPU where there is one, and each rank its own.
            dtype: bfloat16 on a GPU and float32 on a CPU unless given.
            attn_implementation: flash_attention_2 where it is installed, else sdpa, unless given.
            device_map: `auto` spreads a model that one GPU cannot hold over all of them; then start one rank only.
            fps: frames a second taken of a clip.
            video_max_pixels: of a frame of a clip.
            min_pixels: of a still; the processor's own limit unless given.
            max_pixels: of a still; the processor's own limit unless given.
            blank: show plain grey of the same size and length, to learn what a model scores without looking.
            batch_tokens: most of rows x (longest prompt + new tokens) in a batch; by free memory unless given.
            workers: threads that decode and preprocess media ahead of the model.
            responses: folder where responses are kept as they come; another run with the same settings takes them.
            batch_size: not used, batches are formed by tokens; lmms-eval always gives one.
            max_batch_size: not used, likewise.
        """
        super().__init__()
        self.device = _own_device(device)
        self._rank, self._world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self._checkpoint = load_checkpoint(
            pretrained,
            device=self.device,
            revision=revision,
            dtype=dtype,
            attn_implementation=attn_implementation,
            device_map=device_map,
        )
        limits = _shown(self._checkpoint, fps, video_max_pixels, min_pixels, max_pixels)
        self._shown = limits._replace(blank=bool(blank))
        self._answerer = ResponseGenerator(
            self._checkpoint,
            self._shown,
            int(batch_tokens or _fitting_tokens(self._checkpoint)),
            int(workers or _spare_cores()),
        )
        self._store = ResponseStore(responses_in_use(responses), self._rank)

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """Answer chat requests, each distinct one once, and only those that no earlier run answered."""
        chats = [self._chat(request) for request in requests]
        keys = [self._key(chat) for chat in chats]
        distinct = dict(zip(keys, chats, strict=True))
        answers: dict[str, Answer] = {key: kept for key in distinct if (kept := self._store.get(key))}
        open_chats = {key: chat for key, chat in distinct.items() if key not in answers}
        if answers:
            logger.info(f"{len(answers)} of {len(distinct)} responses are there from an earlier run")
        answers |= self._ask(open_chats, len(distinct))
        return [_result(answers[key]) for key in keys]

    def _chat(self, request: Instance) -> Chat:
        _context, doc_to_messages, generation, doc_id, task, split = request.args
        with media_undecoded():
            messages = doc_to_messages(self.task_dict[task][split][doc_id])
        return read_chat(messages, generation)

    def _key(self, chat: Chat) -> str:
        """What decides a response: the chat, the weights, what is shown of media, and how the model computes."""
        model = self._checkpoint.model
        return response_key(
            chat.settings()
            | {
                "revision": self._checkpoint.revision,
                "shown": self._shown._asdict(),
                "computed": [
                    self.device.type,
                    str(model.dtype),
                    model.config._attn_implementation,
                    f"torch {torch.__version__}",
                    f"transformers {transformers_version()}",
                ],
            }
        )

    def _ask(self, chats: dict[str, Chat], distinct: int) -> dict[str, Answer]:
        """Answer what is open, those that agree on how to answer together."""
        groups: dict[HowToAnswer, list[str]] = defaultdict(list)
        for key, chat in chats.items():
            groups[chat.how].append(key)
        plans = [(keys, self._answerer.plan([chats[key] for key in keys])) for keys in groups.values()]
        weights = {keys[one.place]: one.tokens for keys, plan in plans for one in plan.prompts}
        answers: dict[str, Answer] = {}
        name = f"shotvl, rank 0 of {self.world_size}" if self.world_size > 1 else "shotvl"
        with Progress(name, weights, distinct - len(chats), distinct, shown=self.rank == 0) as progress:
            for keys, plan in plans:
                for batch in self._answerer.answers(plan):
                    found = {keys[place]: answer for place, answer in batch.items()}
                    self._store.keep({key: one for key, one in found.items() if isinstance(one, Response)})
                    answers |= found
                    progress.add(found)
        return answers

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not offered: ShotBench is answered in words."""
        raise NotImplementedError("shotvl generates; for likelihoods use lm-eval on the text variant")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Not offered: ShotBench has one round."""
        raise NotImplementedError("shotvl answers one round only")


def _result(answer: Answer) -> GenerationResult:
    """A failure becomes the text by which graders know that no model spoke."""
    if isinstance(answer, Failure):
        return GenerationResult(f"{REQUEST_FAILED}: {answer.reason}]", TokenCounts())
    return GenerationResult(answer.text, TokenCounts(answer.input_tokens, answer.output_tokens))


def _own_device(given: str | None) -> torch.device:
    if given not in (None, "cuda"):
        return torch.device(given)
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def _shown(
    checkpoint: Checkpoint, fps: float, video_max_pixels: int, min_pixels: int | None, max_pixels: int | None
) -> Shown:
    stills, clips = (part.size for part in (checkpoint.processor.image_processor, checkpoint.processor.video_processor))
    return Shown(
        int(min_pixels or stills["shortest_edge"]),
        int(max_pixels or stills["longest_edge"]),
        clip_max=min(int(video_max_pixels), clips["longest_edge"]),
        fps=float(fps),
    )


def _fitting_tokens(checkpoint: Checkpoint) -> int:
    """What half of the free memory holds; where that is too much after all, batches become smaller."""
    if checkpoint.device.type != "cuda":
        return CPU_BATCH_TOKENS
    free, _all = torch.cuda.mem_get_info(checkpoint.device)
    return max(min(int(free) // 2 // checkpoint.bytes_a_token, MOST_BATCH_TOKENS), 1)


def _spare_cores() -> int:
    """Cores for media: this rank's share, at most 16."""
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return max(1, min(16, len(os.sched_getaffinity(0)) // ranks))
