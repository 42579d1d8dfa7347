"""The connection to an OpenAI-compatible server: which server it is, and completions of chats, with retries."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from lmms_eval_shotbench.grading.chat_endpoint import (
    ChatReply,
    check_base_url,
    encodable,
    excerpt,
    failed_request,
    open_client,
    pause_seconds,
    request_completion,
    transport_errors,
)
from lmms_eval_shotbench.models.engine import EngineFailed, EngineUnavailable

Result = TypeVar("Result")
ATTEMPTS = 4  # of a request
BODY_BYTES = 1 << 26  # of a completion, which contains the token ids of the prompt
CHECK_SECONDS = 20.0  # to answer a question about the server itself
UNFINISHED = ("abort", "error")  # finish reasons of a response that the server gave up
VERSION_PATHS = ("version", "get_server_info")  # of vLLM and of SGLang


class ServerArguments(NamedTuple):
    """Arguments of the engine `server`."""

    base_url: str
    model: str
    concurrency: int = 64
    timeout: float = 600.0

    @classmethod
    def of(cls, pretrained: str, given: Mapping[str, Any]) -> Self:
        """Read the arguments; the model is `pretrained` unless one is given. Raises `EngineUnavailable`."""
        if unknown := sorted(set(given) - set(cls._fields)):
            raise EngineUnavailable(
                f"engine=server has no argument {', '.join(unknown)}; it has {', '.join(cls._fields)}"
            )
        try:
            arguments = cls(
                str(given.get("base_url") or ""),
                str(given.get("model") or pretrained),
                int(given.get("concurrency", cls._field_defaults["concurrency"])),
                float(given.get("timeout", cls._field_defaults["timeout"])),
            )
            check_base_url(arguments.base_url, "server's")
        except ValueError as error:
            raise EngineUnavailable(f"engine=server: {error}") from None
        if arguments.concurrency < 1 or not arguments.timeout > 0:
            raise EngineUnavailable("engine=server: concurrency and timeout (in seconds) must be above 0")
        return arguments


class ServerReply(NamedTuple):
    """A response of a server."""

    text: str
    token_ids: list[int] | None  # None: not reported, as for the others
    output_tokens: int | None
    finish_reason: str
    prompt_tokens: int | None
    prompt_token_ids: list[int] | None
    log_probabilities: dict[str, float]  # of the most probable first tokens, if they were asked for


class RequestFailed(RuntimeError):
    """A request without a response; the message states why."""


class Connection:
    """An OpenAI-compatible server. Thread-safe."""

    def __init__(self, arguments: ServerArguments) -> None:
        """Connect to the server and find the model; raises `EngineUnavailable`."""
        self._arguments, self._stopped = arguments, threading.Event()
        try:
            self._client = open_client(arguments.base_url, "", arguments.timeout)
        except (RuntimeError, ValueError) as error:
            raise EngineUnavailable(f"engine=server: {error}") from None
        try:
            models = self._models()
        except RequestFailed as error:
            raise EngineUnavailable(
                f"the server at {arguments.base_url} does not answer: {error}; start it as in docs/backends.md, or "
                "correct base_url"
            ) from None
        if arguments.model not in models:
            served = ", ".join(models) or "none"
            raise EngineUnavailable(
                f"the server at {arguments.base_url} has no model {arguments.model}, but {served}; name it by model="
            )
        self.model, self.kind = arguments.model, models[arguments.model]
        self.version = self._version()

    def complete(self, request: Mapping[str, Any]) -> ServerReply:
        """Complete a chat, with retries after errors that may pass.

        Args:
            request: Fields of the request: `messages`, and those beyond OpenAI's API.

        Raises:
            RequestFailed: There is no response.
            EngineFailed: The server is gone.
        """
        fields = {name: value for name, value in request.items() if name != "messages"}
        asking = partial(self._completed, messages=request["messages"], model=self.model, extra_body=fields)
        found = self._retried(asking)
        if isinstance(found, ChatReply):
            raise self._failed(found)
        return found

    def stop(self) -> None:
        """End the retries of all threads."""
        self._stopped.set()

    def _retried(self, request: Callable[[], Result | ChatReply]) -> Result | ChatReply:
        """Return the result of a request, repeated after errors that may pass, or the reply of the last failure."""
        attempt = 0
        while isinstance(found := request(), ChatReply):
            attempt += 1
            pause = pause_seconds(attempt, found.retry_after)
            if not found.retryable or attempt == ATTEMPTS or self._stopped.wait(pause):
                break
        return found

    def _failed(self, reply: ChatReply) -> RequestFailed | EngineFailed:
        """Return the exception for a request that failed: whether the server answers at all is found out."""
        if reply.retryable and not self._stopped.is_set():
            try:
                self._models()
            except RequestFailed as error:
                return EngineFailed(f"the server at {self._arguments.base_url} no longer answers: {error}")
        return RequestFailed(reply.error)

    def _completed(self, **request: Any) -> ServerReply | ChatReply:
        body = request_completion(self._client, max_bytes=BODY_BYTES, **request)
        if isinstance(body, ChatReply):
            return body
        try:
            return read_completion(json.loads(body))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            text = excerpt(body.decode("utf-8", "replace"), self._client)
            return ChatReply(None, f"the server's reply is no chat completion: {text}")
        except RequestFailed as error:
            return ChatReply(None, str(error))

    def _models(self) -> dict[str, str]:
        """Return the owners of the models, which are names of server software, by name of the model."""
        listed = self._get(self._arguments.base_url.rstrip("/") + "/models")
        if isinstance(listed, ChatReply):
            raise RequestFailed(listed.error)
        try:
            return {str(one["id"]): str(one.get("owned_by") or "") for one in listed["data"]}
        except (LookupError, TypeError, AttributeError):
            raise RequestFailed(f"its list of models is not one: {excerpt(str(listed), self._client)}") from None

    def _version(self) -> str:
        """Return the version of the server, or "" if it does not report one.

        Keys of responses contain it, so a fault that passes must not hide it.
        """
        url = urlsplit(self._arguments.base_url)
        root = url.path.rstrip("/").removesuffix("/v1")
        for path in VERSION_PATHS:
            found = self._retried(partial(self._get, urlunsplit(url._replace(path=f"{root}/{path}"))))
            if isinstance(found, dict) and "version" in found:
                return str(found["version"])
        return ""

    def _get(self, url: str) -> Any | ChatReply:
        import openai

        try:
            return self._client.get(url, cast_to=object, options={"timeout": CHECK_SECONDS})
        except (openai.OpenAIError, *transport_errors()) as error:
            return failed_request(error, self._client)
        except ValueError:  # no JSON, although its content type is
            return ChatReply(None, f"{url} is no JSON", retryable=False)


def read_completion(reply: Any) -> ServerReply:
    """Read a server's reply.

    Raises:
        LookupError, TypeError, AttributeError: It is no chat completion.
        RequestFailed: It has no text, or a part of it.
    """
    choice, usage = reply["choices"][0], reply.get("usage") or {}
    if choice.get("finish_reason") in UNFINISHED:
        raise RequestFailed(f"the server gave up the response (finish_reason {choice['finish_reason']})")
    message, token_ids = choice["message"], choice.get("token_ids")
    text = message.get("content")
    if token_ids is None:
        if message.get("reasoning_content") or message.get("reasoning"):
            raise RequestFailed("the server splits off the thought; start it without a reasoning parser")
        if not isinstance(text, str):
            raise RequestFailed(f"the server's reply has {json.dumps(text)} for content")
    listed = ((choice.get("logprobs") or {}).get("content") or [{}])[0].get("top_logprobs") or []
    return ServerReply(
        encodable(text or ""),
        token_ids,
        usage.get("completion_tokens"),
        choice.get("finish_reason") or "",
        usage.get("prompt_tokens"),
        reply.get("prompt_token_ids"),
        {one["token"]: one["logprob"] for one in listed},
    )
