"""Responses kept while a run goes on, so that a run killed at any moment continues where it was.

One JSON object a line, appended as batches finish, a file for each rank in one folder. The key of a response is made of
all that decides it (see `response_key`), so another model, prompt, medium or setting never finds it; and the folder may
be shared by runs. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)


class Response(NamedTuple):
    """What the model said, and its length and the prompt's in tokens."""

    text: str
    input_tokens: int
    output_tokens: int


def response_key(settings: Mapping[str, Any]) -> str:
    """Digest of all that decides a response; the order of names does not matter."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


class ResponseStore:
    """Responses by key, in memory and on disk."""

    def __init__(self, folder: Path | None, rank: int = 0) -> None:
        """Read what all ranks kept; without a folder nothing outlives the process."""
        self._responses: dict[str, Response] = {}
        self._file: Path | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.glob("rank-*.jsonl")):
                self._responses.update(_read(path))
            self._file = folder / f"rank-{rank}.jsonl"

    def get(self, key: str) -> Response | None:
        """The response kept under this key."""
        return self._responses.get(key)

    def keep(self, responses: Mapping[str, Response]) -> None:
        """Keep a batch of responses; once this returns, the end of the process cannot lose them."""
        self._responses.update(responses)
        if self._file is not None:
            _append(self._file, (json.dumps({"key": key, **one._asdict()}) for key, one in responses.items()))


def _append(path: Path, lines: Iterable[str]) -> None:
    with path.open("ab+") as stream:
        if stream.tell() and not _ends_in_newline(path):
            stream.write(b"\n")  # the last run was killed within a line
        stream.write("".join(f"{line}\n" for line in lines).encode())
        stream.flush()
        os.fsync(stream.fileno())  # a batch takes seconds, this takes milliseconds


def _ends_in_newline(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def _read(path: Path) -> Iterator[tuple[str, Response]]:
    broken = 0
    with path.open("rb") as lines:
        for line in lines:
            try:
                row = json.loads(line)
                yield row.pop("key"), Response(**row)
            except (ValueError, TypeError, KeyError, AttributeError):
                broken += bool(line.strip())
    if broken:
        logger.warning("%s: %d lines were cut off when a run was killed; those items are asked again", path, broken)
