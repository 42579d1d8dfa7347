"""A checkpoint's generation settings: read, absent, or not to be had, which is an error.

A local HTTP server imitates the Hub for copies of the tiny model.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from lmms_eval_shotbench.qwen.input_rules import read_input_rules
from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from tests.support import REPOSITORY
from tests.support.http_server import served

SETTINGS = "generation_config.json"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
READ_IN_CHILD = """
import sys
from lmms_eval_shotbench.qwen.input_rules import read_input_rules
for name in sys.argv[1:]:
    try:
        print(name, len(read_input_rules(name).generation_config.suppress_tokens or ()))
    except OSError as error:
        print(name, error)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the tiny model without its weights, whose generation settings differ from the defaults."""
    copy = tmp_path / "model"
    shutil.copytree(TINY_SHOTVL, copy, ignore=shutil.ignore_patterns("*.safetensors"))
    settings = json.loads((copy / SETTINGS).read_text(encoding="utf-8"))
    (copy / SETTINGS).write_text(json.dumps(settings | {"suppress_tokens": [7, 8, 9]}), encoding="utf-8")
    return copy


@contextmanager
def hub_of(folder: Path) -> Iterator[str]:
    """The Hub with three checkpoints: `film/complete`, `film/without` generation settings, and `film/refused` them."""

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            name = self.path.split("?")[0].rsplit("/", 1)[-1]
            if name == SETTINGS and "/refused/" in self.path:
                return self.reply(403, b"no access")
            if not (folder / name).is_file() or (name == SETTINGS and "/without/" in self.path):
                return self.reply(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            self.reply(200, (folder / name).read_bytes(), {"ETag": f'"{name}"', "X-Repo-Commit": COMMIT})

        def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for header, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(header, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with served(Hub) as endpoint:
        yield endpoint


def read_from_hub(endpoint: str, cache: Path, *names: str, offline: bool = False) -> dict[str, str]:
    """Number of suppressed tokens in each checkpoint's generation settings, or the error, in a separate process."""
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "NO_PROXY": "127.0.0.1"}
    environment |= {"HF_HUB_OFFLINE": str(int(offline)), "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(REPOSITORY)}
    finished = subprocess.run(
        [sys.executable, "-c", READ_IN_CHILD, *names], env=environment, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return dict(line.split(" ", 1) for line in finished.stdout.splitlines())


def test_a_folder_without_generation_settings_has_those_of_its_configuration(folder: Path) -> None:
    read = read_input_rules(str(folder))
    assert read.generation_config.suppress_tokens == [7, 8, 9]
    (folder / SETTINGS).unlink()
    implied = read_input_rules(str(folder))
    assert implied.generation_config.suppress_tokens is None and implied.end_tokens == read.end_tokens


def test_broken_generation_settings_of_a_folder_are_an_error(folder: Path) -> None:
    (folder / SETTINGS).write_text('{"eos_token_id": ', encoding="utf-8")
    with pytest.raises(OSError, match=SETTINGS):
        read_input_rules(str(folder))


@pytest.mark.slow
def test_settings_that_cannot_be_downloaded_are_an_error_and_those_that_do_not_exist_are_none(
    folder: Path, tmp_path: Path
) -> None:
    names = ("film/complete", "film/without", "film/refused")
    with hub_of(folder) as endpoint:
        online = read_from_hub(endpoint, tmp_path / "cache", *names)
        offline = read_from_hub(endpoint, tmp_path / "cache", *names, offline=True)
    for read in (online, offline):
        assert (read["film/complete"], read["film/without"]) == ("3", "0")
        assert read["film/refused"].startswith(f"film/refused: its {SETTINGS} cannot be downloaded and is not in the")
        assert read["film/refused"].endswith("give the folder of a complete download as pretrained=FOLDER")
    assert "403" in online["film/refused"]
