"""Answer chats with transformers: media are prefetched, batches limited by tokens and halved if memory runs out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from random import Random
from time import perf_counter
from typing import Any

from lmms_eval_shotbench.models.batching import Lookahead, Planned, plan_batches
from lmms_eval_shotbench.models.chats import GenerationSettings
from lmms_eval_shotbench.models.engine import truncate_at
from lmms_eval_shotbench.models.planning import Plan, Planner
from lmms_eval_shotbench.models.token_budget import TokenBudget, too_long
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint
from lmms_eval_shotbench.qwen.inputs import Patches, Prompt
from lmms_eval_shotbench.runs.response_store import Answer, Failure, Response

PreparedMedia = Mapping[str, "Future[Patches]"]  # by key of the medium


class TransformersEngine:
    """Generates responses with a checkpoint; implements `Engine`."""

    def __init__(self, checkpoint: Checkpoint, planner: Planner, batch_tokens: int) -> None:
        """Configure batches.

        Args:
            checkpoint: Model and processor.
            planner: Planner with the checkpoint's input rules.
            batch_tokens: Maximum of rows x (longest prompt + new tokens) per batch.
        """
        self._checkpoint, self._planner = checkpoint, planner
        self._budget = TokenBudget(batch_tokens)

    @property
    def numerics(self) -> list[str]:
        """Device, dtype, attention and versions."""
        return self._checkpoint.numerics

    @property
    def provenance(self) -> dict[str, str]:
        """Name of the engine; time positions are checked when it starts."""
        return {"engine": "transformers", "time_positions": "checked"}

    def start(self, plans: Sequence[Plan]) -> None:
        """Do nothing: the checkpoint is loaded."""

    def answers(self, plan: Plan) -> Iterator[dict[int, Answer]]:
        """Yield answers by index of the chat: first the plan's failures, then each batch, longest prompts first."""
        yield plan.failed
        batches = plan_batches(plan.prompts, self._budget.tokens, plan.settings.max_new_tokens)
        lookahead = Lookahead(
            lambda key: self._planner.patches(plan.media[key]), self._planner.threads, self._budget.tokens
        )
        for batch, ready in lookahead.run(batches):
            yield from self._answer_within_memory(batch, plan, ready)

    def _answer_within_memory(
        self, batch: list[Planned], plan: Plan, ready: PreparedMedia
    ) -> Iterator[dict[int, Answer]]:
        """Answer a batch, in smaller batches if memory runs out; a single prompt that does not fit fails."""
        answer = partial(self._answer, plan=plan, ready=ready)
        for part, answers in self._budget.within_memory(batch, plan.settings.max_new_tokens, answer):
            yield {part[0].chat_index: Failure(too_long(part[0]))} if answers is None else answers

    def _answer(self, batch: list[Planned], plan: Plan, ready: PreparedMedia) -> dict[int, Answer]:
        answers: dict[int, Answer] = {}
        indices, prompts, generators = [], [], []
        for one in batch:
            reasons = [str(error) for key in one.media if (error := ready[key].exception()) is not None]
            if reasons:
                answers[one.chat_index] = Failure(reasons[0])
            else:
                indices.append(one.chat_index)
                prompts.append(Prompt(plan.ids[one.chat_index], [ready[key].result() for key in one.media]))
                if plan.settings.sampling:
                    generators.append(Random(plan.seed(one)))
        if prompts:
            for index, response in zip(indices, self._responses(prompts, plan.settings, generators), strict=True):
                # A thought that is cut must be known as one, or a letter in it would be read as the answer.
                answers[index] = response._replace(text=plan.openings[index] + response.text)
        return answers

    def _responses(
        self, prompts: list[Prompt], settings: GenerationSettings, generators: list[Random]
    ) -> list[Response]:
        checkpoint, tokenizer = self._checkpoint, self._checkpoint.processor.tokenizer
        started = perf_counter()
        rows = checkpoint.answer(
            prompts, settings.max_new_tokens, _stop_criteria(tokenizer, settings), settings.sampling, generators
        )
        seconds = round((perf_counter() - started) / len(prompts), 6)
        texts = tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [
            Response(
                truncate_at(text, settings.stop_strings),
                checkpoint.architecture.tokens(prompt),
                len(row),
                "length" if _is_cut(row, text, settings, checkpoint.end_tokens) else "stop",
                seconds,
            )
            for text, prompt, row in zip(texts, prompts, rows, strict=True)
        ]


def _stop_criteria(tokenizer: Any, settings: GenerationSettings) -> Any:
    from transformers import StoppingCriteriaList, StopStringCriteria

    return StoppingCriteriaList(
        [StopStringCriteria(tokenizer, list(settings.stop_strings))] if settings.stop_strings else []
    )


def _is_cut(tokens: Sequence[int], text: str, settings: GenerationSettings, end_tokens: Collection[int]) -> bool:
    """Whether generation ended because of the limit of new tokens alone."""
    stopped = tokens[-1] in end_tokens or any(stop in text for stop in settings.stop_strings)
    return len(tokens) >= settings.max_new_tokens and not stopped
