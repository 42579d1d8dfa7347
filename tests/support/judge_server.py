"""A real HTTP server on this machine that behaves, item by item, as a script says, and a judge that asks it.

No request leaves the machine, and pauses are short. Requests that are to hang do so until the test ends.
"""

from __future__ import annotations

import json
import re
import sqlite3
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.grading import chat_endpoint
from lmms_eval_shotbench.grading.judge import Judge, JudgeReport, judge_undecided
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.http_server import served

pytest.importorskip("openai")  # imported here once: it takes longer than the timeouts of some tests

TLS = ssl.create_default_context()  # every client loads all certificates anew, which is most of its cost
KEY = "sk-test-0123456789-never-shown"
OPEN = "It could be read in many ways."  # undecided by the official rules
OPTIONS = ("Wide", "Medium", "Close Up", "Extreme Close Up")


@dataclass(frozen=True)
class Act:
    """What the server does with one request."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0  # before it says anything
    wait_for: Callable[[], object] | None = None  # called first, and may block until a test lets it return
    trickle: bool = False  # one byte at a time
    hang_up: bool = False


def says(content: object) -> Act:
    return Act(json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode())


def error(status: int, **headers: str) -> Act:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Act(b'{"error": {"message": "no"}}', status, named)


HANGS, HANGS_UP = Act(seconds=3600), Act(hang_up=True)  # for longer than any test may take


@dataclass
class Endpoint:
    """A scripted chat endpoint; the last act of an item's script repeats."""

    script: dict[int, list[Act]] = field(default_factory=dict)
    otherwise: Act = field(default_factory=lambda: says("B"))
    url: str = ""
    requests: list[tuple[int, str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    under_way: int = 0  # requests that have no reply yet
    most_under_way: int = 0

    def act(self, path: str, headers: dict[str, str], sent: dict[str, Any]) -> Act:
        found = re.search(r"item (-?\d+)", sent["messages"][0]["content"])  # in the question, or in the reply
        assert found, sent
        index = int(found[1])
        with self.lock:
            before = self.asked(index)
            self.requests.append((index, path, headers, sent))
        acts = self.script.get(index, [self.otherwise])
        return acts[min(before, len(acts) - 1)]

    def asked(self, index: int) -> int:
        return sum(request[0] == index for request in self.requests)


def handler(endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept, as real endpoints do
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            act = endpoint.act(self.path, {name.lower(): value for name, value in self.headers.items()}, sent)
            with endpoint.lock:
                endpoint.under_way += 1
                endpoint.most_under_way = max(endpoint.most_under_way, endpoint.under_way)
            if act.wait_for:
                act.wait_for()
            endpoint.closing.wait(act.seconds)
            with endpoint.lock:
                endpoint.under_way -= 1
            if act.hang_up or endpoint.closing.is_set():
                self.close_connection = True
                return
            self.send_response(act.status)
            for name, value in act.headers:
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(act.body)))
            self.end_headers()
            self.send_body(act)

        def send_body(self, act: Act) -> None:
            try:
                for place in range(len(act.body)) if act.trickle else ():
                    self.wfile.write(act.body[place : place + 1])
                    if endpoint.closing.wait(0.02):
                        return
                self.wfile.write(b"" if act.trickle else act.body)
            except OSError:  # the client had enough
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(ssl, "create_default_context", lambda *_, **__: TLS)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(chat_endpoint, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(chat_endpoint, "LONGEST_PAUSE", 0.3)
    endpoint = Endpoint()
    with served(handler(endpoint)) as address:
        endpoint.url = f"{address}/v1"
        yield endpoint
        endpoint.closing.set()


@pytest.fixture
def judge(endpoint: Endpoint, tmp_path: Path) -> Judge:
    return Judge(endpoint.url, "some-judge", tmp_path / "cache" / "judge.sqlite", KEY, timeout_seconds=300.0)


def question(index: int) -> QAItem:
    return QAItem(
        item_id=f"q-{index}",
        dimension="shot_size",
        question=f"item {index}: what is the shot size?",
        options=OPTIONS,
        answer="B",
        media_kind=MediaKind.STILL,
        media_path=f"{index}.jpg",
        source_index=index,
    )


def ask(judge: Judge, count: int = 1, response: str = OPEN) -> JudgeReport:
    return judge_undecided(judge, [question(index) for index in range(count)], [response] * count)


def kept(judge: Judge) -> list[str]:
    with sqlite3.connect(judge.cache) as cache:
        return [reply for (reply,) in cache.execute("SELECT reply FROM replies ORDER BY reply")]
