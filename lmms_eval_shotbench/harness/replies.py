"""What a model of lmms-eval returned: a response, or why there is none.

lmms-eval's clients of servers turn null content into text, and many models turn an exception into text, often "". Here
a server's reply is checked before its text is taken, and the host's error texts and logged errors become failures.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from unittest.mock import patch

from lmms_eval_shotbench.harness.generations import Generation
from lmms_eval_shotbench.media.stills import BrokenMedium
from lmms_eval_shotbench.runs.lmms_eval_samples import stored_response
from lmms_eval_shotbench.runs.response_store import Answer, Failure, Response

# Texts by which lmms-eval 0.7.3 and `shotvl` report that there is no response
HOST_FAILURE = re.compile(r"\[LMMS_EVAL_REQUEST_FAILED(?: after \d+ retries\]|:)\s*(.*?)\]?\Z", re.DOTALL)
BUDGET_FAILURE = "[LMMS_EVAL_BUDGET_EXCEEDED]"
BLOCKED = re.compile(r"\[SAFETY_BLOCKED:(.*)\]\Z", re.DOTALL)  # Gemini's reply has no text, for any reason
# Log messages of the models that catch an exception and return ""
LOGGED_ERROR = re.compile(r"error|fail|exception|can ?not|could not", re.IGNORECASE)

# What the server said about this request (finish_reason), an error that the model logged, and the seed to send
_reply: ContextVar[dict[str, Any] | None] = ContextVar("reply", default=None)


class BadReply(RuntimeError):
    """A server's reply without a response; the client tries again, as after any error."""


def failure(error: Exception) -> Failure:
    """Return the failure that an exception of the model stands for."""
    return Failure(describe_error(error), broken_medium=isinstance(error, BrokenMedium))


def describe_error(error: BaseException) -> str:
    """Return type and message of an exception in one line."""
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, BrokenMedium) else f"{type(error).__name__}: {text}".removesuffix(": ")


def answer_of(
    output: Any,
    request: Any,
    reply: Mapping[str, Any] | None = None,
    seconds: float | None = None,
    generation: Generation | None = None,
    *,
    padded: bool = False,
) -> Answer:
    """Return the answer in an output of `generate_until`.

    Args:
        output: Text, text with token counts, or None.
        request: The request, whose generation settings have the token limit.
        reply: What was noted during the request.
        seconds: Model time of the request; a model of ours states its own instead.
        generation: What was noted of its generation, used where the output lacks token counts.
        padded: Whether the output may have been padded to the length of others, so that its token count is wrong.
    """
    from lmms_eval.api.instance import GenerationResult, unwrap_generation_output

    from lmms_eval_shotbench.harness.token_counts import LoggedCounts

    if output is None or (isinstance(output, GenerationResult) and output.text is None):
        return Failure("the model returned no text")
    text, counts = unwrap_generation_output(output)
    if isinstance(text, list):
        text = text[0] if text else ""
    if found := HOST_FAILURE.match(text):
        return Failure(" ".join(found[1].split()) or "the request failed")
    if text == BUDGET_FAILURE:
        return Failure("the token budget (--max_tokens) was used up")
    if isinstance(counts, LoggedCounts):
        return counts.response
    said = reply or {}
    if found := BLOCKED.match(text):
        if "MAX_TOKENS" not in found[1]:
            return Failure(f"the server blocked the response: {found[1]}")
        text, said = "", {"finish_reason": "length"}  # all tokens were used for the thought
    elif not text.strip() and "error" in said:
        return Failure(said["error"])
    logged = counts.to_dict() if counts is not None else {}
    if generation is not None and generation.finish_reason:
        logged["finish_reason"] = generation.finish_reason
    sample = {"resps": [[text]], "token_counts": [logged], "arguments": request.args}
    stored = stored_response(sample, padded)
    reason = stored.finish_reason if stored.cut_at_limit else said.get("finish_reason") or stored.finish_reason
    response = Response(text, stored.input_tokens, stored.output_tokens, reason, seconds and round(seconds, 6))
    if generation is None or stored.input_tokens:
        return response
    return response._replace(
        input_tokens=generation.input_tokens,
        output_tokens=generation.output_tokens,
        tokens_counted=generation.counted,
    )


def note_generations(generations: Sequence[Generation]) -> None:
    """Note what the model generated during a request, or during a batch of them."""
    noted = _reply.get()
    if noted is not None:
        noted.setdefault("generations", []).extend(generations)


@contextmanager
def reply_noted(request: Any = None) -> Iterator[dict[str, Any]]:
    """Note in this context what becomes of a request; its seed is sent if the client leaves it out."""
    seeds = [one["seed"] for one in getattr(request, "args", ()) if isinstance(one, dict) and "seed" in one]
    noted: dict[str, Any] = {"seed": seeds[0]} if seeds else {}
    token = _reply.set(noted)
    try:
        yield noted
    finally:
        _reply.reset(token)


@contextmanager
def errors_noted() -> Iterator[None]:
    """Note the errors that models log, of which many then return "" as if it were a response."""
    from loguru import logger as host_logger

    def note(message: Any) -> None:
        noted, text = _reply.get(), message.record["message"]
        if noted is not None and LOGGED_ERROR.search(text):
            noted["error"] = " ".join(text.partition("\n")[0].split())[:300]

    sink = host_logger.add(note, level="INFO", format="{message}")
    try:
        yield
    finally:
        host_logger.remove(sink)


@contextmanager
def replies_checked(model: Any) -> Iterator[None]:
    """Check every reply to a client of OpenAI's chat API; clients of other APIs are left alone."""
    completions = getattr(getattr(getattr(model, "client", None), "chat", None), "completions", None)
    create = getattr(completions, "create", None)
    if create is None:
        yield
        return

    def create_checked(**payload: Any) -> Any:
        return _checked_reply(create(**_with_seed(payload)))

    async def create_checked_async(**payload: Any) -> Any:
        return _checked_reply(await create(**_with_seed(payload)))

    is_async = inspect.iscoroutinefunction(inspect.unwrap(create))
    with patch.object(completions, "create", create_checked_async if is_async else create_checked):
        yield


def _with_seed(payload: dict[str, Any]) -> dict[str, Any]:
    seed = (_reply.get() or {}).get("seed")
    return payload if seed is None else {"seed": seed} | payload


def _checked_reply(reply: Any) -> Any:
    """Return a reply whose content is text, and note why its generation ended; raises `BadReply`."""
    choice = next(iter(getattr(reply, "choices", None) or ()), None)
    message = getattr(choice, "message", None)
    if message is None:
        raise BadReply(f"the server's reply has no {'message' if choice else 'choices'}: {str(reply)[:200]}")
    content, reason = getattr(message, "content", None), getattr(choice, "finish_reason", None) or ""
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if isinstance(part, dict) and part.get("type") == "text")
    if content is None:
        if getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None):
            content, reason = "", "length"  # the server splits off the thought, which was cut before any answer
        elif getattr(message, "refusal", None):
            content = message.refusal
        else:
            raise BadReply(f"the server's reply has null content (finish_reason {reason or 'null'})")
    message.content = content
    noted = _reply.get()
    if noted is not None:
        noted["finish_reason"] = reason
        noted.pop("error", None)  # of an earlier attempt
    return reply
