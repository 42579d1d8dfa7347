"""What generates the responses of `shotvl`: transformers, vLLM, or a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from lmms_eval_shotbench.harness.recorder import RunStopped
from lmms_eval_shotbench.models.planning import Plan
from lmms_eval_shotbench.runs.response_store import Answer


class EngineUnavailable(RunStopped, ValueError):
    """An engine that cannot be used here, or not with these arguments; the message states what to change."""


class EngineFailed(RunStopped):
    """An engine that did not start or ended; responses so far are stored."""


class Engine(Protocol):
    """Answers planned chats. Not thread-safe."""

    @property
    def numerics(self) -> Sequence[Any]:
        """What determines rounding, such as dtype and versions; part of the key of a stored response."""
        ...

    @property
    def provenance(self) -> dict[str, str]:
        """What a record of the run contains: the engine, and whether time positions of clips were checked."""
        ...

    def start(self, plans: Sequence[Plan]) -> None:
        """Start for all plans that will follow, unless started; raises `EngineFailed`."""
        ...

    def answers(self, plan: Plan) -> Iterator[dict[int, Answer]]:
        """Yield answers by index of the chat as they come: first the plan's failures, longest prompts before others.

        A chat that cannot be answered has a `Failure`; an exception ends the run.
        """
        ...


def truncate_at(text: str, stops: Sequence[str]) -> str:
    """Return the text before the first stop string."""
    return min((text.partition(stop)[0] for stop in stops), key=len, default=text)
