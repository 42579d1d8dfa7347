"""A real HTTP server on this machine that speaks OpenAI's chat protocol and keeps every request it was sent.

It answers every question "B" unless a script says otherwise. `judge_server.py` is its sibling for the judge, with
pauses and trickles; this one looks at pictures.
"""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from PIL import Image

HANG_UP = -1  # in a script: close the connection without a word
ANSWER = 200  # and: answer as always; any other number is an HTTP status


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

    answer: str | None = "B"
    completion_tokens: int = 1
    message: dict[str, Any] = field(default_factory=dict)  # further fields of the message, such as reasoning_content
    script: list[int] = field(default_factory=lambda: [ANSWER])
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_act(self, request: Request) -> int:
        """Note a request and return what the script says to do with it."""
        with self.lock:
            self.requests.append(request)
            return self.script[min(len(self.requests), len(self.script)) - 1]

    def completion(self) -> dict[str, Any]:
        """A chat completion as vLLM and OpenAI write it."""
        message = {"role": "assistant", "content": self.answer, **self.message}
        tokens = self.completion_tokens
        usage = {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


def _handler(endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            act = endpoint.next_act(Request(body, {name.lower(): value for name, value in self.headers.items()}))
            if act == HANG_UP:
                self.close_connection = True
                return
            said = endpoint.completion() if act == ANSWER else {"error": {"message": f"scripted {act}"}}
            encoded = json.dumps(said).encode()
            self.send_response(act if self.path == "/v1/chat/completions" else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serve(endpoint: Endpoint) -> Iterator[Endpoint]:
    """Serve until the block ends; `endpoint.url` is the base URL to give a client."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(endpoint))
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
