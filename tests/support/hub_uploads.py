"""A local server that accepts uploads to one dataset as the Hub does: LFS files first, then a commit."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.http_server import served


class Repository:
    """State of the server: the repository and the uploads received."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.private: bool | None = None  # None: the repository does not exist yet
        self.branches: dict[str, dict[str, bytes]] = {}
        self.large: dict[str, bytes] = {}  # by SHA-256
        self.commits: list[str] = []
        self.put: list[str] = []  # checksums of the LFS files received
        self.failing_after: int | None = None  # number of LFS files after which uploads are rejected
        self.lock = threading.Lock()  # files are uploaded in parallel

    def tree(self, branch: str) -> list[dict[str, Any]]:
        return [self._entry(path, content) for path, content in self.branches[branch].items()]

    def _entry(self, path: str, content: bytes) -> dict[str, Any]:
        entry = {"type": "file", "path": path, "size": len(content)}
        if path.endswith(".parquet"):
            sha256 = hashlib.sha256(content).hexdigest()
            lfs = {"oid": sha256, "size": len(content), "pointerSize": 130}
            return entry | {"oid": "0" * 40, "lfs": lfs}
        return entry | {"oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}

    def commit(self, branch: str, lines: list[dict[str, Any]]) -> None:
        files = dict(self.branches[branch])
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.commits.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.large[value["oid"]]
            else:
                assert line["key"] == "deletedFile", line
                del files[value["path"]]
        self.branches[branch] = files


@contextmanager
def upload_server(repository: Repository) -> Iterator[str]:
    """Run the server; yields its endpoint."""

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(b"")

        def do_POST(self) -> None:
            self.answer(self.rfile.read(int(self.headers["Content-Length"])))

        do_PUT = do_POST

        def answer(self, sent: bytes) -> None:
            status, body = reply(self.command, self.path.split("?")[0], sent)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    def reply(method: str, path: str, sent: bytes) -> tuple[int, Any]:
        api = f"/api/datasets/{repository.name}"
        if path == "/api/repos/create":
            if repository.private is not None:
                return 409, {"url": f"{endpoint}/datasets/{repository.name}"}
            request = json.loads(sent)  # older clients send `private`
            repository.private = request.get("private") or request.get("visibility") == "private"
            repository.branches["main"] = {}
            return 200, {"url": f"{endpoint}/datasets/{repository.name}"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(sent)["objects"]
            return 200, {"transfer": "basic", "objects": [lfs_object(one) for one in objects]}
        if method == "PUT":
            oid = path.rpartition("/")[2]
            assert hashlib.sha256(sent).hexdigest() == oid
            with repository.lock:
                if repository.failing_after is not None and len(repository.put) >= repository.failing_after:
                    return 403, {"error": "the upload is not allowed any more"}
                repository.put.append(oid)
                repository.large[oid] = sent
            return 200, {}
        rest = path.removeprefix(api).strip("/").split("/")
        if repository.private is None or not path.startswith(api):
            return 404, {}
        if rest[0] == "branch":
            repository.branches.setdefault(rest[1], dict(repository.branches["main"]))
            return 200, {}
        if rest[0] == "tree":
            return 200, repository.tree(rest[1])
        if rest[0] == "preupload":
            files = json.loads(sent)["files"]
            return 200, {"files": [upload_mode(file["path"]) for file in files]}
        if rest[0] == "commit":
            repository.commit(rest[1], [json.loads(line) for line in sent.splitlines()])
            return 200, {"commitUrl": f"{endpoint}/datasets/{repository.name}/commit/0", "commitOid": "0" * 40}
        return 200, {"id": repository.name, "private": repository.private, "sha": "0" * 40, "siblings": []}

    def upload_mode(path: str) -> dict[str, Any]:
        return {"path": path, "uploadMode": "lfs" if path.endswith(".parquet") else "regular", "shouldIgnore": False}

    def lfs_object(requested: dict[str, Any]) -> dict[str, Any]:
        if requested["oid"] in repository.large:
            return requested
        return requested | {"actions": {"upload": {"href": f"{endpoint}/large/{requested['oid']}"}}}

    with served(Hub) as endpoint:
        yield endpoint
