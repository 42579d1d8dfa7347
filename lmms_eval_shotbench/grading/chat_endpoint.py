"""The way to a chat endpoint: one prompt goes out, one `Answer` comes back, whatever happens on the way.

Owns the client of an OpenAI-compatible chat endpoint, the limits on what is read of a reply, which trouble may pass
and how long to wait then. What is asked, how often, and what a reply means is the caller's affair: `judge.py` asks for
letters, the pipeline for reasoning chains. The API key goes into the authorization header and nowhere else. Standard
library only until a client is opened (then `openai`).
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

REPLY_CHARACTERS = 4000  # read and kept of a reply
REPLY_TOKENS = 32  # a letter, or an option's text
BODY_BYTES = 1 << 18  # more than any sane completion of that many tokens
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds before a struggling endpoint is asked again


class ChatReply(NamedTuple):
    """What came of one request."""

    reply: str | None  # None: the request failed
    error: str = ""
    passing: bool = True  # whether another try may help
    retry_after: str = ""


def open_client(base_url: str, api_key: str, timeout_seconds: float) -> Any:
    """An `openai.OpenAI`, to be closed after use; an empty key stands for $OPENAI_API_KEY."""
    try:
        import openai
    except ImportError:
        raise RuntimeError("endpoints are asked through the openai library: pip install openai") from None
    key = (api_key or os.environ.get("OPENAI_API_KEY", "")).strip() or "none"
    if not (key.isascii() and key.isprintable()):
        raise ValueError("the endpoint's API key holds characters that no HTTP header can carry")
    return openai.OpenAI(base_url=base_url, api_key=key, timeout=timeout_seconds, max_retries=0)


def check_base_url(base_url: str, whose: str = "judge's") -> None:
    """Raise `ValueError` where an API's address is none, or holds a user or password, which would end up in reports."""
    url = urlsplit(base_url)
    if url.scheme not in ("http", "https") or not url.hostname or "@" in url.netloc or url.port == 0:
        raise ValueError(f"the {whose} base_url must read http(s)://HOST[:PORT]/PATH, without a user or password")


def request_reply(
    client: Any,
    model: str,
    prompt: str | list[dict[str, Any]],
    *,
    tokens: int = REPLY_TOKENS,
    characters: int = REPLY_CHARACTERS,
) -> ChatReply:
    """Send one request. The body is read in pieces, so that neither a trickle nor a flood goes beyond the limits.

    Args:
        prompt: The user's message: a text, or its parts in OpenAI's form.
        tokens: That the reply may take.
        characters: That are kept of it.
    """
    import openai

    deadline, body = time.monotonic() + client.timeout, b""
    late = ChatReply(None, f"no reply within {client.timeout:g} s")
    messages = [{"role": "user", "content": prompt}]
    create = client.chat.completions.with_streaming_response.create
    try:
        with create(messages=messages, model=model, temperature=0, max_tokens=tokens) as response:
            for piece in response.iter_bytes():
                body += piece
                if len(body) > BODY_BYTES:
                    return ChatReply(None, f"a reply of more than {BODY_BYTES} bytes")
                if time.monotonic() > deadline:
                    return late
    except openai.APITimeoutError:
        return late
    except openai.APIStatusError as error:
        passing = error.status_code in (408, 409, 429) or error.status_code >= 500
        message = f"HTTP {error.status_code}: {_shown(error.response.text, client)}"
        return ChatReply(None, message, passing, error.response.headers.get("retry-after", ""))
    except (openai.OpenAIError, *_transport_errors()) as error:
        return ChatReply(None, f"connection failed: {_shown(str(error.__cause__ or error), client)}")
    return _read_completion(body, client, tokens, characters)


def pause_seconds(attempt: int, retry_after: str, longest: float | None = None) -> float:
    """How long to wait after so many attempts: as the endpoint wishes, else twice as long each time; never for long."""
    longest = LONGEST_PAUSE if longest is None else longest
    with suppress(ValueError):  # absent, or a date
        if float(retry_after) >= 0:
            return min(float(retry_after), longest)
    return min(FIRST_PAUSE * 2.0 ** min(attempt - 1, 10), longest)


def encodable(text: str) -> str:
    """Half a surrogate pair, which models can emit, fits neither a request nor the cache."""
    return text.encode("utf-8", "replace").decode()


def _read_completion(body: bytes, client: Any, tokens: int, characters: int) -> ChatReply:
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ChatReply(None, f"no chat completion: {_shown(body.decode('utf-8', 'replace'), client)}")
    if not isinstance(content, str) or not content.strip():
        return ChatReply(None, f"a completion without text in {tokens} tokens (does this model think first?)")
    return ChatReply(encodable(content[:characters]))


def _transport_errors() -> tuple[type[Exception], ...]:
    """What reading a body may raise: openai 3 sends with httpx2, older ones with httpx, and neither wraps it."""
    loaded = (sys.modules.get(name) for name in ("httpx2", "httpx"))
    return tuple(module.HTTPError for module in loaded if module)


def _shown(text: str, client: Any) -> str:
    """The beginning of a text from outside on one line, never with the API key in it."""
    words = " ".join(text.replace(client.api_key, "***").split())
    return words if len(words) <= 160 else f"{words[:157]}..."
