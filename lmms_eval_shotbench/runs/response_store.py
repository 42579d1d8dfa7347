"""Responses stored during a run, from which an interrupted run resumes.

One JSON object per line, appended as batches finish, in one file per rank. The key of a response covers everything that
determines it (see `response_key`), so another model, prompt, medium or setting never matches it, and runs may share the
folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from lmms_eval_shotbench.runs.run_time import WALL

Stored = TypeVar("Stored")
logger = logging.getLogger(__name__)
SYNC_SECONDS = 1.0  # minimum time between two waits for the disk, which take longer than a fast model


class Response(NamedTuple):
    """A response, the lengths of prompt and response in tokens, why its generation ended, and how long it took."""

    text: str
    input_tokens: int | None = None  # None: not reported
    output_tokens: int | None = None
    finish_reason: str = ""  # "stop", "length" at the limit of new tokens, or another word of a server; "" if unknown
    seconds: float | None = None  # share of the model's time, defined in `run_time.py`; None: unknown
    wall_seconds: float | None = None  # share of the run's wall time; set when the response is stored
    tokens_counted: bool = False  # whether the tokens were counted by the harness, not reported by the backend

    def repeated(self) -> Response:
        """Return this response to an identical request, which was not sent and took no tokens and no time."""
        return self._replace(input_tokens=0, output_tokens=0, seconds=0.0, wall_seconds=0.0)


class Failure(NamedTuple):
    """Why a question has no response; it is asked again by the next run."""

    reason: str
    broken_medium: bool = False  # whether the medium cannot be decoded, which says nothing about the model


Answer = Response | Failure


def response_key(settings: Mapping[str, Any]) -> str:
    """Return the SHA-256 of everything that determines a response; the order of names does not matter."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


class ResponseStore:
    """Responses by key, in memory and on disk."""

    def __init__(self, folder: Path | None, rank: int = 0) -> None:
        """Read the stored responses of all ranks; without a folder responses are kept in memory only."""
        self._responses: dict[str, Response] = {}
        self._file: Path | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.glob("rank-*.jsonl")):
                self._responses.update(stored_rows(path, lambda row: Response(**row)))
            self._file = folder / f"rank-{rank}.jsonl"
        self._synced = float("-inf")  # monotonic time

    def get(self, key: str) -> Response | None:
        """Return the response stored under this key, if any."""
        return self._responses.get(key)

    def keep(self, responses: Mapping[str, Response]) -> dict[str, Response]:
        """Store a batch of responses.

        When this returns they survive the end of the process, however it ends. If the machine fails, those may be lost
        that came within SYNC_SECONDS of the last wait for the disk (fsync).

        Returns:
            The responses as stored, with their shares of the run's wall time.
        """
        if not responses:
            return {}
        share = round(WALL.share(len(responses)), 6)
        stored = {key: one._replace(wall_seconds=share) for key, one in responses.items()}
        self._responses.update(stored)
        if self._file is not None:
            lines = (json.dumps({"key": key, **one._asdict()}) for key, one in stored.items())
            sync = time.monotonic() - self._synced >= SYNC_SECONDS
            append_lines(self._file, lines, sync=sync)
            if sync:
                self._synced = time.monotonic()
        return stored


def append_lines(path: Path, lines: Iterable[str], *, sync: bool = True) -> None:
    """Append lines to a file, which may end within a line.

    Args:
        path: The file; it is created if it does not exist.
        lines: Lines without their line break.
        sync: Whether to wait until they are on disk (fsync), so that they survive a failure of the machine.
    """
    with path.open("ab+") as stream:
        if stream.tell() and not _ends_in_newline(path):
            stream.write(b"\n")  # the last run was interrupted within a line
        stream.write("".join(f"{line}\n" for line in lines).encode())
        stream.flush()
        if sync:
            os.fsync(stream.fileno())


def _ends_in_newline(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def stored_rows(path: Path, parse: Callable[[dict[str, Any]], Stored]) -> Iterator[tuple[str, Stored]]:
    """Yield the key of each complete line, and its other fields as parsed."""
    incomplete = 0
    with path.open("rb") as lines:
        for line in lines:
            try:
                row = json.loads(line)
                yield row.pop("key"), parse(row)
            except (ValueError, TypeError, KeyError, AttributeError):
                incomplete += bool(line.strip())
    if incomplete:
        logger.warning("%s: %d incomplete lines of an interrupted run; those items are asked again", path, incomplete)
