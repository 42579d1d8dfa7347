"""A scripted HTTP vision endpoint that returns reasoning chains, and small shards to test it with.

It answers every item with a valid chain unless a script overrides that, and records the requests and their times. Acts
and connection handling are those of `tests/support/judge_server.py`.
"""

from __future__ import annotations

import io
import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_pipeline.shards.dataset_card import CardText
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.grading import chat_endpoint
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE, MediaKind
from tests.support import judge_server, releases
from tests.support.http_server import served
from tests.support.judge_server import Act, says
from tests.support.openai_server import Request

KEY = "sk-vision-0123456789-never-shown"
ABOUT = CardText("Small", "print-1", "A test.", "Nowhere.", "By hand.", "cc-by-4.0")
SEEN = (
    "A woman stands in the middle of the frame beneath a lamp, and the room behind her is soft. Her head takes about a "
    "third of the height, both elbows can be seen, and the lower edge of the frame crosses her body well below the "
    "chest, so the sizes at either end fall away."
)


def chain(letter: str, text: str, seen: str = SEEN) -> str:
    return f"<think>{seen} That leaves {text}.</think>\n<answer>{letter}</answer>"


def text_of(sent: dict[str, Any]) -> str:
    return str(sent["messages"][0]["content"][-1]["text"])


@dataclass
class Vision(judge_server.Endpoint):
    """A scripted vision endpoint; without a script it returns a valid chain. `times` are server-side arrival times."""

    times: list[float] = field(default_factory=list)

    def act(self, path: str, headers: dict[str, str], sent: dict[str, Any]) -> Act:
        found = re.search(r"item (\d+)", text_of(sent))
        right = re.search(r"the answer is ([A-Z])\. (.+)", text_of(sent))
        assert found and right, text_of(sent)
        with self.lock:
            before = self.asked(int(found[1]))
            self.times.append(time.monotonic())
            self.requests.append((int(found[1]), path, headers, sent))
        acts = self.script.get(int(found[1]), [])
        return acts[min(before, len(acts) - 1)] if acts else says(chain(right[1], right[2]))

    def sent(self, index: int) -> Request:
        """The first request about an item."""
        _, _, headers, body = next(request for request in self.requests if request[0] == index)
        return Request(body, headers)


@pytest.fixture
def vision_endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vision]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(ssl, "create_default_context", lambda *_, **__: judge_server.TLS)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(chat_endpoint, "FIRST_PAUSE", 0.001)
    endpoint = Vision()
    with served(judge_server.handler(endpoint)) as address:
        endpoint.url = f"{address}/v1"
        yield endpoint
        endpoint.closing.set()


def still(number: int, size: tuple[int, int] = (64, 36), form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (number * 7 % 256, 90, 40)).save(stream, form)
    return stream.getvalue()


def question(number: int, kind: MediaKind = MediaKind.STILL) -> QAItem:
    dimension = SHOT_SIZE if kind is MediaKind.STILL else CAMERA_MOVEMENT
    options = tuple(term.name for term in dimension.terms[1:5])
    asked = f"item {number}: {dimension.question}"
    item = QAItem(f"v-{number}", dimension.slug, asked, options, "ABCD"[number % 4], kind, f"{number}.bin")
    return replace(item, source="v", source_index=number, licence="cc-by-4.0")


def rows(count: int, split: str = "sft") -> list[PendingRow]:
    """Return stills, with one clip as the last row."""
    made = [PendingRow.of(split, question(number), still(number)) for number in range(count - 1)]
    return [*made, PendingRow.of(split, question(count - 1, MediaKind.CLIP), releases.clip(48))]


def small_shards(folder: Path, count: int = 5, split: str = "sft") -> Path:
    write_shards(rows(count, split), folder, ABOUT, splits=[split])
    return folder
