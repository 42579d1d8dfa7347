"""What is known about the generation of a response, for lmms-eval, which logs it but has no field for most of it."""

from __future__ import annotations

from typing import Any

from lmms_eval.api.instance import GenerationResult, TokenCounts

from lmms_eval_shotbench.grading.strict import REQUEST_FAILED
from lmms_eval_shotbench.runs.response_store import Answer, Failure, Response

LOGGED = ("finish_reason", "seconds", "wall_seconds", "tokens_counted")


class LoggedCounts(TokenCounts):  # type: ignore[misc]
    """Token counts of a response, with its stop reason and its times."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.input_tokens, response.output_tokens)
        self.response = response

    def to_dict(self) -> dict[str, Any]:
        """Return the entries that lmms-eval logs (`token_counts` of a sample)."""
        further = {name: getattr(self.response, name) for name in LOGGED}
        counts: dict[str, Any] = super().to_dict()
        return counts | {
            name: value for name, value in further.items() if value not in ("", None) and value is not False
        }


def result_of(response: Response) -> GenerationResult:
    """Return a response in the form that lmms-eval expects of a model."""
    return GenerationResult(response.text, LoggedCounts(response))


def result_of_answer(answer: Answer, repeated: bool) -> GenerationResult:
    """Return an answer in that form; a failure becomes the text that graders recognise as a failed request.

    Args:
        answer: The answer.
        repeated: Whether an earlier request asked for the same, so that this one took no time.
    """
    if isinstance(answer, Failure):
        return GenerationResult(f"{REQUEST_FAILED}: {answer.reason}]", TokenCounts())
    return result_of(answer.repeated() if repeated else answer)
