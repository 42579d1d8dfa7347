"""Requests to an OpenAI-compatible chat endpoint: one prompt in, one `ChatReply` out, also when the request fails.

Implements the client, the limits on the size of a reply, the classification of errors as transient or permanent, and
the pause before a retry. Prompts, the number of attempts and the interpretation of replies belong to the caller:
`judge.py` requests letters, the pipeline requests reasoning chains. The API key is used in the authorization header
only. `openai` is imported when a client is opened.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

REPLY_CHARACTERS = 4000  # maximum length of a reply; the rest is dropped
REPLY_TOKENS = 32  # a letter, or an option's text
BODY_BYTES = 1 << 18  # maximum size of a response body, more than any normal completion needs
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds before a retry


class ChatReply(NamedTuple):
    """Result of one request."""

    reply: str | None  # None: the request failed
    error: str = ""
    retryable: bool = True  # whether another attempt may succeed
    retry_after: str = ""  # value of the Retry-After header


def open_client(base_url: str, api_key: str, timeout_seconds: float) -> Any:
    """Open an `openai.OpenAI`, to be closed after use; an empty key means $OPENAI_API_KEY.

    Raises:
        RuntimeError: `openai` is not installed.
        ValueError: the key contains characters that an HTTP header cannot carry.
    """
    try:
        import openai
    except ImportError:
        raise RuntimeError("requests to endpoints need the openai library: pip install openai") from None
    key = (api_key or os.environ.get("OPENAI_API_KEY", "")).strip() or "none"
    if not (key.isascii() and key.isprintable()):
        raise ValueError("the endpoint's API key contains characters that an HTTP header cannot carry")
    return openai.OpenAI(base_url=base_url, api_key=key, timeout=timeout_seconds, max_retries=0)


def check_base_url(base_url: str, whose: str = "judge's") -> None:
    """Raise `ValueError` if an API's URL is invalid or contains credentials, which would appear in reports."""
    url = urlsplit(base_url)
    if url.scheme not in ("http", "https") or not url.hostname or "@" in url.netloc or url.port == 0:
        raise ValueError(f"the {whose} base_url must be http(s)://HOST[:PORT]/PATH, without a user or password")


def request_reply(
    client: Any,
    model: str,
    prompt: str | list[dict[str, Any]],
    *,
    tokens: int = REPLY_TOKENS,
    characters: int = REPLY_CHARACTERS,
) -> ChatReply:
    """Send one prompt, see `request_completion`.

    Args:
        prompt: The user message: a text, or a list of parts in OpenAI's format.
        tokens: Maximum number of tokens of the reply.
        characters: Maximum length of the reply; the rest is dropped.
    """
    messages = [{"role": "user", "content": prompt}]
    body = request_completion(client, messages=messages, model=model, temperature=0, max_tokens=tokens)
    return body if isinstance(body, ChatReply) else _read_completion(body, client, tokens, characters)


def request_completion(client: Any, *, max_bytes: int = BODY_BYTES, **request: Any) -> bytes | ChatReply:
    """Send one request and return the body of the response, or the `ChatReply` of a failed request.

    The body is read in chunks to enforce the limits on time and size.

    Args:
        client: As returned by `open_client`.
        max_bytes: Maximum size of the body.
        request: Arguments of `client.chat.completions.create`.
    """
    import openai

    deadline, body = time.monotonic() + client.timeout, b""
    timed_out = ChatReply(None, f"no reply within {client.timeout:g} s")
    try:
        with client.chat.completions.with_streaming_response.create(**request) as response:
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > max_bytes:
                    return ChatReply(None, f"a reply of more than {max_bytes} bytes")
                if time.monotonic() > deadline:
                    return timed_out
    except openai.APITimeoutError:
        return timed_out
    except (openai.OpenAIError, *transport_errors()) as error:
        return failed_request(error, client)
    return body


def failed_request(error: Exception, client: Any) -> ChatReply:
    """Return the reply for an exception of `openai` or its transport."""
    import openai

    if isinstance(error, openai.APIStatusError):
        retryable = error.status_code in (408, 409, 429) or error.status_code >= 500
        message = f"HTTP {error.status_code}: {excerpt(error.response.text, client)}"
        return ChatReply(None, message, retryable, error.response.headers.get("retry-after", ""))
    return ChatReply(None, f"connection failed: {excerpt(str(error.__cause__ or error), client)}")


def pause_seconds(attempt: int, retry_after: str, longest: float | None = None) -> float:
    """Pause after the given number of attempts: Retry-After if present, else exponential backoff; at most `longest`."""
    longest = LONGEST_PAUSE if longest is None else longest
    with suppress(ValueError):  # absent, or a date
        if float(retry_after) >= 0:
            return min(float(retry_after), longest)
    return min(FIRST_PAUSE * 2.0 ** min(attempt - 1, 10), longest)


def encodable(text: str) -> str:
    """Replace unpaired surrogates, which models can emit but neither a request nor the cache can hold."""
    return text.encode("utf-8", "replace").decode()


def _read_completion(body: bytes, client: Any, tokens: int, characters: int) -> ChatReply:
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ChatReply(None, f"no chat completion: {excerpt(body.decode('utf-8', 'replace'), client)}")
    if not isinstance(content, str) or not content.strip():
        return ChatReply(None, f"a completion without text in {tokens} tokens (does this model think first?)")
    return ChatReply(encodable(content[:characters]))


def transport_errors() -> tuple[type[Exception], ...]:
    """Exceptions from reading a body: openai 3 uses httpx2, older versions httpx, and neither error is wrapped."""
    loaded = (sys.modules.get(name) for name in ("httpx2", "httpx"))
    return tuple(module.HTTPError for module in loaded if module)


def excerpt(text: str, client: Any) -> str:
    """The beginning of an external text on one line, with the API key redacted."""
    words = " ".join(text.replace(client.api_key, "***").split())
    return words if len(words) <= 160 else f"{words[:157]}..."
