"""Import from the Hub: a local HTTP server imitates the Hub, and the Hub's cache layout is read directly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from data_pipeline.releases.import_shotbench import import_shotbench
from lmms_eval_shotbench.questions.shards import ShardFolder
from tests.support import REPOSITORY
from tests.support.http_server import served
from tests.support.releases import folders, good, tars


@contextmanager
def fake_hub(files: dict[str, bytes]) -> Iterator[str]:
    """A local HTTP server that imitates the Hub for one dataset."""
    sha = "0123456789abcdef0123456789abcdef01234567"

    def oid(data: bytes) -> str:
        return f"{zlib.crc32(data):040x}"

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            body, headers, status = self.answer()
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def answer(self) -> tuple[bytes, dict[str, str], int]:
            path = self.path.split("?")[0]
            if path.startswith("/api/datasets/film/ShotBench/revision/"):
                siblings = [{"rfilename": name} for name in files]
                return json.dumps({"id": "film/ShotBench", "sha": sha, "siblings": siblings}).encode(), {}, 200
            if path.startswith("/api/datasets/film/ShotBench/tree/"):
                tree = [{"type": "file", "path": n, "size": len(d), "oid": oid(d)} for n, d in files.items()]
                return json.dumps(tree).encode(), {}, 200
            name = path.removeprefix(f"/datasets/film/ShotBench/resolve/{sha}/")
            if name in files:
                headers = {"ETag": f'"{oid(files[name])}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
                return files[name], headers, 200
            return b"{}", {"X-Error-Code": "RepoNotFound"}, 404

        def log_message(self, *_: object) -> None:
            pass

    with served(Hub) as endpoint:
        yield endpoint


IMPORT_IN_CHILD = """
import sys
from pathlib import Path
from data_pipeline.releases.import_shotbench import import_shotbench
from data_pipeline.releases.release_media import ImportRefused
try:
    print(import_shotbench(sys.argv[1], Path(sys.argv[2])).rows_written)
except ImportRefused as error:
    print(error)
"""


@pytest.mark.slow
def test_a_hub_id_is_downloaded_and_imported(tmp_path: Path) -> None:
    release = tars(tmp_path / "release", *good())
    files = {path.name: path.read_bytes() for path in release.iterdir()} | {"huge.bin": b"unwanted"}

    def child(endpoint: str, name: str) -> str:
        environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1"}
        environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "PYTHONPATH": str(REPOSITORY)}
        arguments = [sys.executable, "-c", IMPORT_IN_CHILD, name, str(tmp_path / "out")]
        return subprocess.run(arguments, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    with fake_hub(files) as endpoint:
        assert child(endpoint, "film/ShotBench") == "4"
        assert "no release at 'film/Other'" in child(endpoint, "film/Other")
    assert len(list(ShardFolder(tmp_path / "out").items())) == 4
    assert not list((tmp_path / "hf").rglob("huge.bin"))


def test_linked_media_in_the_hub_cache_are_imported(tmp_path: Path) -> None:
    rows, media = good()
    storage = tmp_path / "datasets--film--ShotBench"
    release = folders(storage / "snapshots/0123", rows, media)
    (storage / "blobs").mkdir()
    for number, path in enumerate(sorted(path for path in release.rglob("*") if path.is_file())):
        blob = path.rename(storage / f"blobs/{number}")
        path.symlink_to(os.path.relpath(blob, path.parent))
    assert import_shotbench(str(release), tmp_path / "out").rows_written == 4
