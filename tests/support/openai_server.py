"""A real HTTP server on this machine that speaks OpenAI's chat protocol and keeps every request it was sent.

It answers every question "B" unless a script says otherwise, which may make it misbehave in any of the ways below.
`judge_server.py` is its sibling for the judge; this one looks at pictures.
"""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from PIL import Image

# What a script says; any other number is an HTTP status, of which 429 comes with Retry-After.
ANSWER = 200  # as always
HANG_UP = -1  # the connection is closed without a word
NULL = -2  # a reply whose content is null
NO_CHOICES = -3  # an error in place of choices, under the status 200
HANG = -4  # no word, and the connection stays open
HTML = -5  # a page in place of JSON
HALF = -6  # the first half of the answer
SLOW = -7  # the answer in small pieces, with pauses
PIECES, PAUSE = 20, 0.02  # seconds


class Picture(NamedTuple):
    """A picture as it came over the wire."""

    format: str
    size: tuple[int, int]
    pixels: bytes


@dataclass(frozen=True)
class Request:
    """One request for a chat completion."""

    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def system(self) -> str:
        """The system text."""
        (message,) = (message for message in self.body["messages"] if message["role"] == "system")
        (part,) = message["content"]
        return str(part["text"])

    @property
    def user(self) -> list[dict[str, Any]]:
        """The parts of the user's message, in order."""
        (message,) = (message for message in self.body["messages"] if message["role"] == "user")
        parts: list[dict[str, Any]] = message["content"]
        return parts

    @property
    def text(self) -> str:
        """The text of the user's message."""
        return "\n".join(part["text"] for part in self.user if part["type"] == "text")

    @property
    def kinds(self) -> list[str]:
        """What stands where in the user's message."""
        return [part["type"] for part in self.user]

    @property
    def pictures(self) -> list[Picture]:
        """All pictures, decoded."""
        urls = [part["image_url"]["url"] for part in self.user if part["type"] == "image_url"]
        return [_decoded(url) for url in urls]

    @property
    def is_still(self) -> bool:
        """Whether one picture and the question were sent."""
        return self.kinds == ["image_url", "text"]


def _decoded(url: str) -> Picture:
    encoded = base64.b64decode(url.split("base64,", 1)[1])
    with Image.open(io.BytesIO(encoded)) as picture:
        return Picture(str(picture.format), picture.size, picture.convert("RGB").tobytes())


@dataclass
class Endpoint:
    """What the server says, and what it was asked; the last entry of a script repeats."""

    answer: str | Callable[[Request], str] | None = "B"
    completion_tokens: int = 1
    reports_usage: bool = True
    message: dict[str, Any] = field(default_factory=dict)  # further fields of the message, such as reasoning_content
    script: list[int] | Callable[[Request], int] = field(default_factory=lambda: [ANSWER])
    delay: float = 0.0  # seconds before each answer
    requests: list[Request] = field(default_factory=list)
    listed: dict[str, Any] = field(default_factory=dict)  # what is got, or a status, by path; or a function for it
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    def next_act(self, request: Request) -> int:
        """Note a request and return what the script says to do with it."""
        with self.lock:
            self.requests.append(request)
            if callable(self.script):
                return self.script(request)
            return self.script[min(len(self.requests), len(self.script)) - 1]

    def completion(self, request: Request) -> dict[str, Any]:
        """A chat completion as vLLM and OpenAI write it."""
        content = self.answer(request) if callable(self.answer) else self.answer
        message = {"role": "assistant", "content": content, **self.message}
        tokens = self.completion_tokens
        usage = {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        reported = {"usage": usage} if self.reports_usage else {}
        return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], **reported}


def _reply(endpoint: Endpoint, request: Request, act: int) -> bytes:
    if act == HTML:
        return b"<html><body>Bad gateway</body></html>"
    if act not in (ANSWER, NULL, HALF, SLOW):
        return json.dumps({"error": {"message": f"scripted {act}"}}).encode()
    completion = endpoint.completion(request)
    if act == NULL:
        completion["choices"][0]["message"]["content"] = None
    encoded = json.dumps(completion).encode()
    return encoded[: len(encoded) // 2] if act == HALF else encoded


def _handler(endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            found = endpoint.listed.get(self.path, 404)
            found = found() if callable(found) else found
            encoded = json.dumps(found).encode()
            self.send_response(found if isinstance(found, int) else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            request = Request(body, {name.lower(): value for name, value in self.headers.items()})
            act = endpoint.next_act(request)
            endpoint.closing.wait(None if act == HANG else endpoint.delay)
            if act in (HANG_UP, HANG):
                self.close_connection = True
                return
            encoded = _reply(endpoint, request, act)
            status = act if act > 0 else 200
            self.send_response(status if self.path == "/v1/chat/completions" else 404)
            self.send_header("Content-Type", "text/html" if act == HTML else "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            if act == 429:
                self.send_header("Retry-After", "0.05")
            self.end_headers()
            for start in range(0, len(encoded), size := len(encoded) // PIECES + 1 if act == SLOW else len(encoded)):
                time.sleep(PAUSE if act == SLOW else 0)
                self.wfile.write(encoded[start : start + size])

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that were killed."""


@contextmanager
def serve(endpoint: Endpoint) -> Iterator[Endpoint]:
    """Serve until the block ends; `endpoint.url` is the base URL to give a client."""
    server = _Server(("127.0.0.1", 0), _handler(endpoint))
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
