"""Answers of an engine to chats, in the order of the chats, without the time that they took."""

from __future__ import annotations

from collections.abc import Sequence

from lmms_eval_shotbench.models.chats import Chat
from lmms_eval_shotbench.models.engine import Engine
from lmms_eval_shotbench.models.planning import Planner
from lmms_eval_shotbench.models.transformers_engine import TransformersEngine
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint
from lmms_eval_shotbench.qwen.inputs import MediaLimits
from lmms_eval_shotbench.runs.response_store import Answer
from tests.support.timeless import timeless


def engine_answers(engine: Engine, planner: Planner, chats: Sequence[Chat]) -> list[Answer]:
    found: dict[int, Answer] = {}
    for some in engine.answers(planner.plan(chats)):
        assert not found.keys() & some.keys()
        found |= some
    return [timeless(found[index]) for index in range(len(chats))]


def transformers_answers(
    loaded: Checkpoint, limits: MediaLimits, chats: Sequence[Chat], batch_tokens: int = 4096, workers: int = 1
) -> list[Answer]:
    planner = Planner(loaded, limits, workers)
    return engine_answers(TransformersEngine(loaded, planner, batch_tokens), planner, chats)
