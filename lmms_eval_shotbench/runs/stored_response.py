"""A stored response, and why there may be none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from lmms_eval_shotbench.grading.strict import REQUEST_FAILED, has_response
from lmms_eval_shotbench.runs.response_store import Response

SAMPLES = "samples.jsonl"  # in the folder of a run of `shotbench eval`; without scores beside it, the run is incomplete

# Stop reasons of a response that was cut at the token limit, as OpenAI-compatible servers, Anthropic and Google report
# it, in lower case
LIMIT_REASONS = ("length", "max_tokens", "max_output_tokens")


class BadResponses(ValueError):
    """A file of responses that cannot be scored; the message states the position and what to do."""


class StoredResponse(NamedTuple):
    """A response, and what the backend reported about its generation."""

    text: str  # of an unanswered item, a text that grading recognises as no response
    finish_reason: str = ""  # "length", "stop" or another word of the backend; "" if unknown
    output_tokens: int | None = None
    unanswered: str = ""  # why there is no response; "" if there is one
    input_tokens: int | None = None
    seconds: float | None = None  # model time, and the next wall time, as defined in `run_time.py`
    wall_seconds: float | None = None
    tokens_counted: bool = False  # whether the tokens were counted by the harness, not reported by the backend

    @classmethod
    def of(cls, response: Response) -> StoredResponse:
        """Return a response of a run as it is scored."""
        return cls(**response._asdict())

    @classmethod
    def absent(cls, reason: str, **known: Any) -> StoredResponse:
        """Return what is stored for an item without any response, for this reason, with other fields that are known."""
        return cls(f"{REQUEST_FAILED}: {reason}]", unanswered=reason, **known)

    @classmethod
    def of_text(cls, text: str, **known: Any) -> StoredResponse:
        """Return a stored text; one that lmms-eval stores for a failed request is the reason of an unanswered item."""
        return cls(text, unanswered="" if has_response(text) else text, **known)

    def response(self) -> Response:
        """Return it as a response of a run, the inverse of `of`; the reason why there is none is lost."""
        return Response(**{name: getattr(self, name) for name in Response._fields})

    @property
    def cut_at_limit(self) -> bool | None:
        """Whether the response was cut at the token limit; None if unknown."""
        return self.finish_reason.lower() in LIMIT_REASONS if self.finish_reason else None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line or row of a file of responses."""

    position: str  # in the file, for messages
    index: int  # of the question
    response: StoredResponse
    sample: int = 1  # number of the sample, of several responses to one question
