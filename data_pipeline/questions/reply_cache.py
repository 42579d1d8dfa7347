"""Append-only cache of endpoint replies: each is on disk as soon as it arrives, so a resumed run repeats no request.

    {"key": …, "item_id": …, "reply": …}    one object per line, appended, never changed

Owns the file and its lock; the caller defines the keys. The file survives SIGKILL at any time: a truncated last line is
removed when the file is next opened.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from lmms_eval_shotbench.file_lock import LockingUnsupported, open_locked


class CacheRefused(ValueError):
    """The file cannot be used as the cache; the message gives the reason and the next step."""


class ReplyCache:
    """Replies by key. Used by one process at a time: any thread may read, a single thread adds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = open_locked(path, os.O_APPEND)
        except (BlockingIOError, LockingUnsupported):
            raise CacheRefused(f"{path} is in use by another run; wait for it, or name another --cache") from None
        except OSError as error:
            raise CacheRefused(f"{path} cannot be opened as the cache of replies ({error.strerror})") from error
        try:
            self._replies = self._read()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._file)

    def __len__(self) -> int:
        return len(self._replies)

    def reply(self, key: str) -> str | None:
        """Return the cached reply for a key, or None."""
        return self._replies.get(key)

    def add(self, key: str, item_id: str, reply: str) -> None:
        """Store a reply; it has been written to the file when this returns."""
        line = json.dumps({"key": key, "item_id": item_id, "reply": reply}, ensure_ascii=False).encode() + b"\n"
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise RuntimeError(
                f"the cache {self.path} cannot be written ({error.strerror}); no other output was written"
            ) from error
        if written < len(line):
            raise RuntimeError(f"the cache {self.path} cannot be written: disk full; free disk space and run again")
        self._replies[key] = reply

    def _read(self) -> dict[str, str]:
        """Read all replies and truncate an incomplete last line."""
        replies, complete_bytes = {}, 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.endswith(b"\n"):
                    complete_bytes += len(line)
                elif line.startswith(b'{"key"'[: len(line)]):
                    break
                entry = self._entry(number, line)
                replies[entry["key"]] = entry["reply"]
        os.ftruncate(self._file, complete_bytes)
        return replies

    def _entry(self, number: int, line: bytes) -> dict[str, str]:
        try:
            entry = json.loads(line)
            if all(isinstance(entry[name], str) for name in ("key", "reply")):
                return dict(entry)
        except (ValueError, LookupError, TypeError):
            pass
        raise CacheRefused(f"{self.path}, line {number} is no cached reply; move the file away or name another --cache")
