"""A local server that speaks the part of the Hub's API that pull requests to a model's repository use."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.support.http_server import served

COMMIT = "c" * 40  # head of main


@dataclass
class ModelRepository:
    """State of the server: the repository of one model."""

    name: str
    files: dict[str, bytes] = field(default_factory=dict)  # of main
    pull_requests: list[dict[str, Any]] = field(default_factory=list)  # title, status, parent, files
    refused_with: int = 0  # status of the answer to a commit; 0: it is accepted
    unreadable: bool = False  # whether files are refused to everybody
    invalid_card: str = ""  # what is wrong with the metadata of any card
    requests: list[str] = field(default_factory=list)  # method and path

    def commit(self, lines: list[dict[str, Any]]) -> dict[str, Any]:
        header = lines[0]["value"]
        sent = {line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines[1:]}
        self.pull_requests.append(
            {"title": header["summary"], "status": "open", "parent": header["parentCommit"], "files": sent}
        )
        return {"commitOid": "d" * 40, "commitUrl": f"/{self.name}/commit/{'d' * 40}"}

    def discussions(self) -> list[dict[str, Any]]:
        return [
            {
                "title": one["title"],
                "num": number,
                "author": {"name": "somebody"},
                "createdAt": "2026-11-30T00:00:00.000Z",
                "status": one["status"],
                "repo": {"name": self.name, "type": "model"},
                "isPullRequest": True,
            }
            for number, one in enumerate(self.pull_requests, start=1)
            if one["status"] == "open"
        ]


@contextmanager
def model_server(repository: ModelRepository) -> Iterator[str]:
    """Run the server; yields its endpoint."""

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(b"")

        do_HEAD = do_GET

        def do_POST(self) -> None:
            self.answer(self.rfile.read(int(self.headers["Content-Length"])))

        def answer(self, sent: bytes) -> None:
            path = unquote(urlsplit(self.path).path)
            repository.requests.append(f"{self.command} {path}")
            status, body, headers = reply(path, sent)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    def reply(path: str, sent: bytes) -> tuple[int, Any, dict[str, str]]:
        api, files = f"/api/models/{repository.name}", f"/{repository.name}/resolve/{COMMIT}/"
        if path == "/api/validate-yaml":
            errors = [{"message": repository.invalid_card}] if repository.invalid_card else []
            return (400 if errors else 200), {"errors": errors, "warnings": []}, {}
        if path.startswith(files):
            if repository.unreadable:
                return 403, {}, {}
            content = repository.files.get(path.removeprefix(files))
            if content is None:
                return 404, {}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}
            return 200, content, {"ETag": f'"{blob_id(content)}"', "X-Repo-Commit": COMMIT}
        if not path.startswith(api):
            return 404, {}, {"X-Error-Code": "RepoNotFound"}
        match path.removeprefix(api).strip("/").split("/"):
            case ["discussions"]:
                found = repository.discussions()
                return 200, {"count": len(found), "start": 0, "discussions": found}, {}
            case ["preupload", "main"]:
                return 200, {"files": [_upload(one["path"]) for one in json.loads(sent)["files"]]}, {}
            case ["commit", "main"]:
                if repository.refused_with:
                    return repository.refused_with, {"error": "no"}, {}
                done = repository.commit([json.loads(line) for line in sent.splitlines()])
                url = f"{endpoint}/{repository.name}/discussions/{len(repository.pull_requests)}"
                return 200, done | {"commitUrl": endpoint + done["commitUrl"], "pullRequestUrl": url}, {}
        return 200, {"id": repository.name, "sha": COMMIT, "siblings": []}, {}

    def _upload(path: str) -> dict[str, Any]:
        known = {"oid": blob_id(repository.files[path])} if path in repository.files else {}
        return {"path": path, "uploadMode": "regular", "shouldIgnore": False, **known}

    with served(Hub) as endpoint:
        yield endpoint


def blob_id(content: bytes) -> str:
    """Return git's id of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
