"""`--model replay --model_args responses=FILE`: stored responses through the harness, without a model.

The harness scores responses made elsewhere, on another machine or by the authors, like those of a live model.
FILE is anything `shotbench score` accepts as responses. A question without a stored response counts as a failed
request.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lmms_eval.api.instance import GenerationResult, Instance
from lmms_eval.api.model import lmms

from lmms_eval_shotbench.harness.token_counts import result_of
from lmms_eval_shotbench.runs.responses import NOT_STORED, StoredResponse, read_samples


class Replay(lmms):  # type: ignore[misc]
    """A model that returns stored responses without reading media."""

    is_simple = True
    keeps_own_responses = True

    def __init__(self, responses: str, device: str = "cpu", **ignored: Any) -> None:
        """Read all responses at once; raises `BadResponses`. Batch settings of the command line are ignored."""
        super().__init__()
        self._responses = read_samples(Path(responses))
        self.device = device  # the harness gathers counts of several ranks on this device

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """Return the stored response of each request's question, with what is stored about its generation."""
        absent = StoredResponse(NOT_STORED)
        stored = (self._responses.get(self._question_index(request), absent) for request in requests)
        return [result_of(one.response()) for one in stored]

    def _question_index(self, request: Instance) -> int:
        _context, _settings, _visual, doc_id, task, split = request.args
        return int(self.task_dict[task][split][doc_id]["source_index"])

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not supported: stored text has no likelihood."""
        raise NotImplementedError("replay holds text only; use a task that generates")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Not supported: ShotBench has one round."""
        raise NotImplementedError("replay answers one round only")
