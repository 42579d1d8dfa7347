"""A local S3 server with one bucket, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pytest

from lmms_eval_shotbench.remote_path import RemotePath
from tests.support.ports import free_port

BUCKET = RemotePath("s3://films")
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def running_bucket(log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server, with the variables of its address and of credentials set."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=output, stderr=output
        )
        try:
            while not _answers(address):
                assert server.poll() is None, log.read_text()
                time.sleep(0.1)
            urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET.name}", method="PUT")).close()
            with pytest.MonkeyPatch.context() as patch:
                for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL": address}).items():
                    patch.setenv(name, value)
                forget_clients()
                yield server
        finally:
            server.kill()
            server.wait()


def forget_clients() -> None:
    """Let this process connect again, with the variables as they are."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/moto-api/").close()
    except OSError:
        return False
    return True


def upload(folder: Path, target: RemotePath) -> None:
    """Upload all files of a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            (target / path.relative_to(folder).as_posix()).upload(path)


def contents(folder: RemotePath) -> dict[str, bytes]:
    """The content of all files below a folder."""
    return {name: (folder / name).read_bytes() for name in folder.files()}
